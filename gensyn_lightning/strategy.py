"""`Trainer(strategy="gensyn")`: a single-device strategy whose fits are trained by the network.

One definition serves `lightning.pytorch` and `pytorch_lightning`, whose classes have nothing in
common: `flavoured` derives the strategy from the package at hand. What travels to a runner is a
plain `SingleDeviceStrategy`, so a program meets there what it would meet here.
"""

from __future__ import annotations

import copyreg
import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.launcher import Options, launcher_class
from gensyn_lightning.launcher.display import Display
from gensyn_lightning.training.manifest import FLAVOURS

ON_INTERRUPT = ("cancel", "detach")
_OURS = frozenset({"options", "_launcher"})


class GensynStrategy:
    """Trains every `fit` on the network; validate, test and predict run here.

    `coordinator` is an address; without one the embedded network of this machine is started,
    with its data under `home`. `audit` is the share of segments that are replayed: "default",
    "full", "none" or a number between 0 and 1; `verifiers` how many nodes replay each of those.
    `threads` is how many threads every machine computes with (default: as many as torch uses
    here). `numerics="native"` trains on torch's own operators, whose bits only machines of one
    kind share, for programs that use operators without a reproducible definition. `budget` is the
    highest price of the job, `value_at_stake` what a wrong model would cost, both in the smallest
    unit. `preflight=False` skips the trial batch. `report` is where
    report.json goes (default: into the trainer's `default_root_dir`). `timeout` is in seconds.
    `on_event` is called with every event of the job. `detach=True` returns from `fit` as soon as
    the job is submitted, and `attach` names a job that was left: the same `fit` then follows that
    one and brings its model back. `on_interrupt` says whether an interrupted fit is cancelled or
    left ("detach"). `display` shows progress in place of lines on stderr. `flavour` names the
    Lightning package to derive from where both are loaded.
    """

    strategy_name = "gensyn"
    _flavour = ""
    _launcher: Any

    def __new__(cls, *, flavour: str | None = None, **options: Any) -> GensynStrategy:
        """Return an instance that the Lightning package at hand accepts."""
        kind = cls if cls._flavour else flavoured(flavour or _loaded_flavour())
        return object.__new__(kind)

    def __init__(  # noqa: PLR0913 - one keyword per option
        self,
        *,
        coordinator: str | None = None,
        home: str | Path | None = None,
        audit: str | float | None = None,
        verifiers: int = 1,
        threads: int | None = None,
        numerics: str | None = None,
        budget: int | None = None,
        value_at_stake: int | None = None,
        preflight: bool = True,
        report: str | Path | None = None,
        timeout: float | None = None,
        quiet: bool | None = None,
        on_event: Callable[[Any], None] | None = None,
        detach: bool = False,
        attach: str | None = None,
        on_interrupt: str = "cancel",
        display: Display | None = None,
        flavour: str | None = None,
    ) -> None:
        if on_interrupt not in ON_INTERRUPT:
            raise ConfigError(
                f"on_interrupt={on_interrupt!r}", hint=f"one of {', '.join(ON_INTERRUPT)}"
            )
        super().__init__("cpu")  # type: ignore[call-arg]
        self.options = Options(
            settings={
                "coordinator": coordinator,
                "home": home,
                "audit": audit,
                "verifiers": verifiers if verifiers > 1 else None,
                "budget": budget,
                "value_at_stake": value_at_stake,
                "numerics": numerics,
                "timeout_seconds": timeout,
                "quiet": quiet,
            },
            verifiers=verifiers,
            threads=threads,
            preflight=preflight,
            report=None if report is None else Path(report),
            on_event=on_event,
            detach=detach,
            attach=attach or "",
            lets_go=on_interrupt == "detach",
            display=display,
        )

    @property
    def accelerator(self) -> Any:
        """The CPU, whatever else this machine has: programs travel as CPU programs."""
        accelerators = importlib.import_module(f"{self._flavour}.accelerators")
        if not isinstance(self.__dict__["_accelerator"], accelerators.CPUAccelerator):
            self.__dict__["_accelerator"] = accelerators.CPUAccelerator()
        return self.__dict__["_accelerator"]

    @accelerator.setter
    def accelerator(self, accelerator: Any) -> None:
        self.__dict__["_accelerator"] = accelerator

    @property
    def outcome(self) -> Any:
        """What became of the last fit: report, verdict, receipt; None before there was one."""
        return None if self._launcher is None else self._launcher.outcome

    @property
    def job(self) -> str:
        """The name of the last fit's job, empty before one was submitted."""
        return "" if self._launcher is None else str(self._launcher.job)

    def use(self, options: Options) -> None:
        """Carry the fits that follow by other options."""
        self.options = options
        if self._launcher is not None:
            self._launcher.options = options

    def _configure_launcher(self) -> None:
        self._launcher = launcher_class(self._flavour)(self.options)

    def __reduce_program__(self) -> tuple[Any, ...]:
        """Return how the strategy travels: as the plain strategy it would have been here."""
        plain = importlib.import_module(f"{self._flavour}.strategies").SingleDeviceStrategy
        state = {name: each for name, each in vars(self).items() if name not in _OURS}
        rebuild: Any = copyreg._reconstructor  # type: ignore[attr-defined]
        return rebuild, (plain, object, None), {**state, "_launcher": None}


@lru_cache
def flavoured(flavour: str) -> type[GensynStrategy]:
    """Return the strategy class for one of the two Lightning packages."""
    if flavour not in FLAVOURS:
        raise ConfigError(f"{flavour!r} is no Lightning package", hint=f"one of {FLAVOURS}")
    single = importlib.import_module(f"{flavour}.strategies").SingleDeviceStrategy
    body = {"_flavour": flavour, "__module__": __name__, "__doc__": GensynStrategy.__doc__}
    return type("GensynStrategy", (GensynStrategy, single), body)


def _loaded_flavour() -> str:
    loaded = [each for each in FLAVOURS if each in sys.modules]
    if len(loaded) > 1:
        raise ConfigError(
            "both Lightning packages are loaded",
            hint=f'say which trainer it is for: GensynStrategy(flavour="{FLAVOURS[0]}")',
        )
    if loaded:
        return loaded[0]
    return FLAVOURS[0] if importlib.util.find_spec("lightning") else FLAVOURS[1]
