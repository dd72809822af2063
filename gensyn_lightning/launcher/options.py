"""What `GensynStrategy` was told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gensyn_lightning.launcher.display import Display


@dataclass(frozen=True, slots=True)
class Options:
    """`settings` are for `config.resolve`, None where nothing was said; the rest is for one job.

    `detach` returns once the job is submitted, `attach` names a job to follow instead of
    submitting one. An interrupted fit is cancelled, or with `lets_go` left to the network.
    `display` takes the place of lines on stderr.
    """

    settings: Mapping[str, Any]
    verifiers: int = 1
    threads: int | None = None
    preflight: bool = True
    report: Path | None = None
    on_event: Callable[[Any], None] | None = None
    detach: bool = False
    attach: str = ""
    lets_go: bool = False
    display: Display | None = None

    def under(self, other: Options) -> Options:
        """Return these with the settings and the report's place that `other` names instead."""
        said = {name: value for name, value in other.settings.items() if value is not None}
        return replace(
            self,
            settings={**self.settings, **said},
            verifiers=other.verifiers if other.verifiers > 1 else self.verifiers,
            report=other.report or self.report,
        )
