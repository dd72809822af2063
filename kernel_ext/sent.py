"""The fits that one notebook sends: how each is carried there, and what became of it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gensyn_lightning import config
from gensyn_lightning.errors import ConfigError, GensynError
from gensyn_lightning.launcher import Options
from gensyn_lightning.launcher.display import Display
from gensyn_lightning.launcher.outcome import Outcome
from gensyn_lightning.network import Home, jobs
from gensyn_lightning.protocol.job import JobId, display_id
from gensyn_lightning.strategy import GensynStrategy
from kernel_ext.job import Job, cancel
from kernel_ext.live import LiveView
from kernel_ext.sending import adopt
from kernel_ext.view import ReportView, Told

QUIET = Display(None, quiet=True)


@dataclass(frozen=True, slots=True)
class Way:
    """How fits are carried: `options` for the strategy; `attach` names a job sent before.

    `live` shows a view in the cell, `silent` shows nothing; neither is for a terminal.
    """

    options: Mapping[str, Any]
    detach: bool = False
    attach: str = ""
    cancels: bool = False
    silent: bool = False
    live: bool = True


@dataclass(slots=True)
class Sent:
    """What a notebook has sent: `outcomes` of the fits that are over, `jobs` by name."""

    outcomes: list[Outcome] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)

    def carry(self, trainer: Any, fit: Callable[[], Any], way: Way) -> Any:
        """Have one fit run by the network, in front of the user; return what it returned.

        A fit that is left to the network becomes a job here; unless that was asked for it is
        `Told`, so that nothing goes on as if it had been trained.
        """
        strategy = adopt(trainer)
        view = LiveView(lambda name: cancel(find(name)))
        if way.live and not way.silent:
            view.show()
        shown = view if way.live else None
        given = GensynStrategy(flavour=strategy._flavour, **way.options).options
        options = replace(
            strategy.options.under(given),
            display=QUIET if way.silent else shown,
            detach=way.detach,
            attach=way.attach,
            lets_go=not way.cancels,
        )
        done = self._fit(strategy, fit, options, view)
        if strategy.outcome is not None:
            self.outcomes.append(strategy.outcome)
            if not way.silent:
                _show_report(strategy.outcome, view if way.live else None)
            return done
        self._leave(strategy, fit, options, view)
        if not way.detach:
            raise Told(
                f"{strategy.job} goes on without this cell "
                f"(%gensyn_wait {strategy.job} brings its model back, %gensyn_stop ends it)"
            )
        return done

    def _fit(self, strategy: Any, fit: Callable[[], Any], options: Options, view: LiveView) -> Any:
        """Call a fit under other options than the strategy's own, for this once."""
        own = strategy.options
        strategy.use(options)
        try:
            return fit()
        except (KeyboardInterrupt, SystemExit):
            # Lightning has silenced Ctrl-C and asked the process to end.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            name = strategy.job
            view.freeze("interrupted")
            if strategy.outcome is not None:
                self.outcomes.append(strategy.outcome)
            raise Told(
                f"interrupted: {name} is stopped, %gensyn_report {name} says what was accepted"
                if name
                else "interrupted before anything was sent"
            ) from None
        except BaseException as error:
            view.freeze(f"{type(error).__name__}: {error}")
            raise
        finally:
            strategy.use(own)

    def _leave(
        self, strategy: Any, fit: Callable[[], Any], options: Options, view: LiveView
    ) -> None:
        """Make a job of a fit that was left to the network."""

        def bring_back() -> Outcome:
            back = replace(options, display=QUIET, detach=False, attach=name, lets_go=True)
            self._fit(strategy, fit, back, view)
            if strategy.outcome is None:
                raise Told(f"{name} was interrupted before its model was here")
            self.outcomes.append(strategy.outcome)
            outcome: Outcome = strategy.outcome
            return outcome

        name = strategy.job
        self.jobs.pop(name, None)
        self.jobs[name] = Job(find(name), view, bring_back)

    def last(self, since: int) -> Outcome | None:
        """Return the last outcome, None if none came after the first `since`."""
        return self.outcomes[-1] if len(self.outcomes) > since else None

    def job(self, name: str | None) -> Job:
        """Return a job of this notebook, None for the last one; raise `ConfigError` for others."""
        if name is None and self.jobs:
            return next(reversed(self.jobs.values()))
        found = self.jobs.get(display_id(find(name))) if name else None
        if found is None:
            said = f"{name} was not sent by this notebook" if name else "no job was left to go on"
            raise ConfigError(
                said, hint=f"%gensyn_train TARGET --attach {name or 'JOB'} brings back a model"
            )
        return found


def _show_report(outcome: Outcome, view: LiveView | None) -> None:
    """Show the report of a fit that is over; that it cannot be shown does not undo the fit."""
    try:
        shown = ReportView(outcome.report)
    except (GensynError, OSError) as error:
        print(f"gensyn: {outcome.report} cannot be shown: {error}", file=sys.stderr)
        if view is not None:
            view.freeze(outcome.statement)
        return
    if view is not None:
        view.replace(shown)
    else:
        print(shown)


def find(name: str) -> JobId:
    """Return the job that people call `name`."""
    return jobs.find(Home(config.resolve().home), name)
