"""One fit inside a runner, from a state to the next place to stop.

The run counts events: training batches, validation batches, epoch ends, in Lightning's order. It
stops at the first cut point (after a training batch with its validation, or after an epoch's end)
at or after its target, unless the fit is over there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gensyn_lightning.training import loops, objects, snapshot, surroundings
from gensyn_lightning.training.classes import find_loaded
from gensyn_lightning.training.objects import Baseline
from gensyn_lightning.training.position import Loaders


class Cut(BaseException):
    """The segment is over; nothing of the program may catch this."""


class Watcher:
    """What a run tells about itself; every method may be left as it is."""

    def state_returns(self, state: Mapping[str, Any]) -> None:
        """Hear that the set-up is over and a state is about to be put back."""

    def training_begins(self) -> None:
        """Hear that the set-up is over, and so is putting the state back."""

    def batch_begins(self, batch: Any) -> None:
        """Take in a training or validation batch that is about to be used."""

    def step_output(self, output: Any) -> None:
        """Take in what a training or validation step returned."""

    def event_done(self, kind: str) -> None:
        """Hear that an event's own work is done; what follows until the next belongs to it too."""

    def settled(self, can_cut: bool) -> None:
        """Hear that nothing more belongs to the last event; after some a fit can be cut."""

    def cut(self) -> None:
        """Hear that the segment ends here, with the fit still as it is."""


class Run:
    """Runs `trainer.fit` between two events."""

    def __init__(
        self,
        trainer: Any,
        watcher: Watcher,
        end_at: Callable[[int], bool],
        state: Mapping[str, Any] | None,
        find: Callable[[str], Any] = find_loaded,
    ) -> None:
        self.trainer = trainer
        self.flavour = surroundings.flavour_of(trainer)
        self.baseline = Baseline(find=find)
        self.loaders = Loaders(trainer)
        self.goes_on = False
        self.mid_epoch = True
        self.events = 0
        self.batches = 0
        self.was_cut = False
        self._watcher = watcher
        self._end_at = end_at
        self._state = state
        self._first = 0
        self._unsettled = False
        self._depth = 0
        self._is_set_up = False
        self.names: list[str] = []
        self.running = False
        self._sanity_steps = trainer.num_sanity_val_steps

    def go(self, fit: Callable[[], Any]) -> None:
        """Call `fit`; return when the segment is over, with `was_cut` set if the fit is not."""
        loops.attach(self.trainer, self.flavour, self)
        self.trainer.strategy._launcher = _Launcher()
        if self._state is not None:
            self.trainer.num_sanity_val_steps = 0
            self.loaders.expect(self._state["loaders"])
            self.loaders.sleep(True)
        try:
            fit()
        finally:
            self.loaders.close()

    def written(self) -> dict[str, Any]:
        """Return the run's counters as plain values."""
        return {"events": self.events, "batches": self.batches, "mid_epoch": self.mid_epoch}

    def read(self, written: Mapping[str, Any]) -> None:
        """Take the counters from a state."""
        self.events = self._first = written["events"]
        self.batches = written["batches"]
        self.mid_epoch = written["mid_epoch"]
        self.goes_on = self.mid_epoch and self.events > 0

    @contextmanager
    def looping(self) -> Iterator[None]:
        """Hold while the loop over epochs runs; callbacks that tune run it inside itself."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def set_up(self) -> None:
        """Take what the program's objects hold now for what its set-up made."""
        self._is_set_up = True
        nodes = objects.walk(*self._surroundings())
        self.baseline.settle(nodes, self._surroundings()[1])

    def training_begins(self) -> None:
        """Put the state back, if there is one, and begin to count."""
        if self._depth != 1 or not self._is_set_up:
            return
        self.baseline.survey(objects.walk(*self._surroundings()))
        self.trainer.num_sanity_val_steps = self._sanity_steps
        self.names = snapshot.names(self.trainer)
        if self._state is not None:
            self._watcher.state_returns(self._state)
            snapshot.restore(self.trainer, self._state)
            self._state = None
        self.running = self.loaders.is_training = True
        self._watcher.training_begins()
        if self.events > 0:
            # A cut comes just before its loop concludes an iteration.
            fit = self.trainer.fit_loop
            (fit.epoch_loop if self.mid_epoch else fit).on_iteration_done()

    def epoch_began(self) -> None:
        """Note that the loaders are being drawn from."""
        if self._counts:
            self.mid_epoch = True

    def batch_begins(self, batch: Any) -> None:
        """Tell that a batch is about to be used."""
        if self._counts:
            self._settle()
            self._watcher.batch_begins(batch)

    def step_output(self, output: Any) -> None:
        """Tell what a step returned."""
        if self._counts:
            self._watcher.step_output(output)

    def batch_trained(self) -> None:
        """Count a training batch."""
        if self._counts:
            self.batches += 1
            self._done("training")

    def batch_validated(self) -> None:
        """Count a validation batch."""
        if self._counts:
            self._done("validation")

    def batch_ended(self) -> None:
        """Stop here if the target is reached."""
        if self._counts:
            self._cut_point(lambda: False)

    def epoch_ended(self) -> None:
        """Count an epoch's end, and stop here if the target is reached."""
        if self._counts:
            self.mid_epoch = False
            self._done("epoch")
            self._cut_point(lambda: bool(self.trainer.fit_loop.done))

    @property
    def _counts(self) -> bool:
        """Whether what happens is the fit itself: no sanity check, no tuning inside a hook."""
        return self.running and self._depth == 1

    def _done(self, kind: str) -> None:
        self._settle()
        self.events += 1
        self._unsettled = True
        self._watcher.event_done(kind)

    def _settle(self, can_cut: bool = False) -> None:
        if self._unsettled:
            self._unsettled = False
            self._watcher.settled(can_cut)

    def _cut_point(self, fit_is_over: Callable[[], bool]) -> None:
        self._settle(True)
        if self.events > self._first and not fit_is_over() and self._end_at(self.events):
            self.was_cut = True
            self._watcher.cut()
            raise Cut

    def _surroundings(self) -> tuple[Any, dict[int, str]]:
        known = surroundings.by_identity(surroundings.places(self.trainer))
        return surroundings.roots(self.trainer), known


class _Launcher:
    """Calls the fit here and ends it quietly at a cut, before any hook for exceptions runs."""

    is_interactive_compatible = True

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any, **kwargs: Any) -> Any:
        """Call `function`; return None if it is cut."""
        try:
            return function(*args, **kwargs)
        except Cut:
            return None

    def kill(self, signum: int) -> None:
        """Do nothing: there is no other process."""
