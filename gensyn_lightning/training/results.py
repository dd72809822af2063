"""What `self.log` has gathered so far in an epoch, as plain values and back."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch

from gensyn_lightning.errors import StateError

_META = (
    "fx",
    "name",
    "prog_bar",
    "logger",
    "on_step",
    "on_epoch",
    "enable_graph",
    "add_dataloader_idx",
    "dataloader_idx",
    "metric_attribute",
)
_STATE = (
    "value",
    "cumulated_batch_size",
    "_forward_cache",
    "_computed",
    "_update_count",
    "has_reset",
)


def write(results: Any, known: Mapping[int, str]) -> dict[str, Any]:
    """Return a loop's result collection as plain values; metrics of the model by their path."""
    return {
        "batch_size": results.batch_size,
        "dataloader_idx": results.dataloader_idx,
        "logged": {key: _write_one(each, known) for key, each in results.items()},
    }


def read(
    results: Any,
    written: Mapping[str, Any],
    places: Mapping[str, Any],
    trainer: Any,
    flavour: str,
) -> None:
    """Make the collection hold what `write` returned, so that the next `self.log` goes on."""
    module = importlib.import_module(f"{flavour}.trainer.connectors.logger_connector.result")
    results.clear()
    results.batch = None
    results.batch_size = written["batch_size"]
    results.dataloader_idx = written["dataloader_idx"]
    for key, each in written["logged"].items():
        results[key] = _read_one(each, places, trainer, module)


def _write_one(metric: Any, known: Mapping[int, str]) -> dict[str, Any]:
    meta = metric.meta
    state = {name: vars(metric)[name] for name in _STATE if name in vars(metric)}
    if not metric.is_tensor:
        path = known.get(id(metric.value))
        if path is None:
            raise StateError(
                f"{meta.name} is logged as a metric that the model does not hold",
                hint="make it an attribute of the LightningModule",
            )
        state["value"] = path
    return {
        "meta": {name: getattr(meta, name) for name in _META},
        "reduce": meta.reduce_fx.__name__,
        "sync": [meta.sync.should, meta.sync.rank_zero_only],
        "is_tensor": metric.is_tensor,
        "state": state,
    }


def _read_one(
    written: Mapping[str, Any], places: Mapping[str, Any], trainer: Any, module: Any
) -> Any:
    if written["reduce"] not in ("mean", "sum", "max", "min"):
        raise StateError(f"no metric is reduced by {written['reduce']!r}")
    meta = module._Metadata(**written["meta"], reduce_fx=getattr(torch, written["reduce"]))
    should, rank_zero_only = written["sync"]
    # The next `self.log` compares this with what it would register itself.
    meta.sync = module._Sync(
        _should=should, fn=trainer.strategy.reduce, rank_zero_only=rank_zero_only
    )
    metric = module._ResultMetric(meta, written["is_tensor"])
    state = dict(written["state"])
    if not written["is_tensor"]:
        state["value"] = places[state["value"]]
    for name in _STATE:
        if name in state:
            object.__setattr__(metric, name, state[name])
    return metric
