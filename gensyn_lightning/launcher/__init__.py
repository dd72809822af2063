"""The launcher sends a fit to the network and brings back what came of it; all else runs here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gensyn_lightning.launcher.options import Options


@lru_cache
def launcher_class(flavour: str) -> Any:
    """Return the launcher class for one of the two Lightning packages."""
    base: Any = importlib.import_module(f"{flavour}.strategies.launchers.launcher")._Launcher

    class GensynLauncher(base):  # type: ignore[misc]
        """Sends `fit` to the network; validate, test and predict run in this process."""

        def __init__(self, options: Options) -> None:
            self.options = options
            self.outcome: Any = None  # of the last fit
            self.job = ""  # the last fit's, as people see it
            self._submission: Any = None

        @property
        def is_interactive_compatible(self) -> bool:
            """Notebooks are welcome: nothing is forked or spawned here."""
            return True

        def launch(
            self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any
        ) -> Any:
            """Run `function`, a method of `trainer`: on the network if it fits, else here."""
            if trainer is None or trainer.state.fn != "fit":
                return function(*args, **kwargs)
            from gensyn_lightning.launcher.submission import Submission

            self._submission = Submission(trainer, self.options)
            try:
                self._submission.run(function, args, kwargs)
            finally:
                self.outcome = self._submission.outcome
                self.job = self._submission.job
                self._submission = None

        def kill(self, signum: Any) -> None:
            """Cancel the job when Lightning is told to end."""
            if self._submission is not None:
                self._submission.cancel()

    return GensynLauncher


__all__ = ["Options", "launcher_class"]
