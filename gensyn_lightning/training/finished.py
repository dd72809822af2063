"""What of a finished fit is its result, and what is only where and when it ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gensyn_lightning.training import surroundings
from gensyn_lightning.training.anatomy import KEPT_COPY_BYTES, weight
from gensyn_lightning.training.objects import Entries

# Attributes of Lightning's own callbacks and trainer that are readings of a clock.
CLOCKS = frozenset(
    {
        "_last_time_checked",
        "_start_time",
        "_end_time",
        "_t0s",
        "_last_val_time",
        "_train_start_time",
    }
)
# Attributes that say which process this is, or that only a fit under way needs.
CIRCUMSTANCES = frozenset(
    {
        "_restarting",
        "_loaded_from_state_dict",
        "_resuming_from_checkpoint",
        "_restart_stage",
        "_log_device_info",
    }
)


def without_circumstances(trainer: Any, entries: Entries) -> Entries:
    """Leave out clock readings, restart flags and the datamodule's large tables."""
    lightning = {
        path
        for path, each in surroundings.callbacks(trainer)
        if type(each).__module__.startswith(surroundings.FLAVOURS)
    } | {"trainer"}
    return {
        path: entry
        for path, entry in entries.items()
        if not _is_circumstance(path, entry, lightning)
    }


def _is_circumstance(path: str, entry: Mapping[str, Any], lightning: set[str]) -> bool:
    owner, _, name = path.rpartition("/")
    if owner in lightning and name in CLOCKS:
        return True
    if path.startswith("loops/") and name in CIRCUMSTANCES:
        return True
    return path.startswith("datamodule/") and weight(entry.get("value")) > KEPT_COPY_BYTES
