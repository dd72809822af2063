"""What `GensynStrategy` was told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """`settings` are for `config.resolve`, None where nothing was said; the rest is for one job."""

    settings: Mapping[str, Any]
    verifiers: int = 1
    threads: int | None = None
    preflight: bool = True
    report: Path | None = None
    on_event: Callable[[Any], None] | None = None
