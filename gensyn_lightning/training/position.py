"""Where a fit's loaders stand: followed while they are drawn from, and put back there."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from gensyn_lightning.errors import StateError
from gensyn_lightning.training import loader as journals
from gensyn_lightning.training import objects, randomness, surroundings
from gensyn_lightning.training.anatomy import is_open
from gensyn_lightning.training.loader import Journal
from gensyn_lightning.training.objects import Baseline, Entries, Node, Root
from gensyn_lightning.training.refit import refit

_HOOKED = ("model/", "datamodule/")


class Loaders:
    """The loaders of one fit."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._counts: dict[str, int] = {}
        self._built: dict[str, dict[str, Any]] = {}
        self._expected: Mapping[str, Any] = {}
        self._journals: list[Journal] = []
        self._before: tuple[str, Baseline] | None = None
        self.asleep = False
        self.is_training = False

    def expect(self, written: Mapping[str, Any]) -> None:
        """From now on make loaders from the generators they were made from before."""
        self._expected = written["built"]

    def built(self, stage: str, is_due: bool) -> None:
        """Note that the loaders of a stage are about to be made, if they are."""
        if not is_due:
            return
        epoch = self._trainer.current_epoch
        expected = self._expected.get(stage)
        if expected is not None and expected["epoch"] == epoch:
            randomness.write(expected["generators"])
        self._built[stage] = {"epoch": epoch, "generators": randomness.read()}
        self._counts[stage] = 0
        if self.is_training:
            self._before = stage, Baseline()
            self._before[1].settle(*self._program())

    def follow(self, loader: Any) -> Any:
        """Return `loader`, which was just made, with a journal."""
        if self._before is not None:
            (stage, before), self._before = self._before, None
            nodes, known = self._program()
            changed = objects.undone(nodes, before, known)
            if changed:
                self._built[stage]["before"] = changed
        return journals.follow(loader, self._journal)

    def sleep(self, asleep: bool) -> None:
        """While asleep, iterators are only promised; the state will say where they stand."""
        self.asleep = asleep
        for each in self._journals:
            each.asleep = asleep

    def written(self, *, mid_epoch: bool) -> dict[str, Any]:
        """Return where the loaders stand as plain values."""
        fit = self._trainer.fit_loop
        return {
            "built": dict(self._built),
            "training": _training(fit._combined_loader, fit._data_fetcher, mid_epoch),
            "validation": [_written(each, None) for each in _flat(_validation(fit))],
            "objects": [
                journal.own.changes()
                for each in (*_flat(fit._combined_loader), *_flat(_validation(fit)))
                if (journal := journals.journal_of(each)) is not None
            ],
        }

    def before(self, written: Mapping[str, Any]) -> Entries:
        """Return the values that the program held before it made the loaders `rebuild` will make.

        A hook that counts its calls, or lets batches grow by them, changes some.
        """
        found: Entries = {}
        for stage in ("validation", "training"):
            if self._must_rebuild(stage, written["built"]):
                found |= written["built"][stage].get("before", {})
        return copy.deepcopy(found)  # the hook may add to a list in it

    def rebuild(self, written: Mapping[str, Any]) -> None:
        """Make the loaders again that were made after the set-up."""
        trainer, fit = self._trainer, self._trainer.fit_loop
        built = written["built"]
        for stage, loop in (("training", fit), ("validation", fit.epoch_loop.val_loop)):
            if not self._must_rebuild(stage, built):
                continue
            again = built[stage]
            progress = fit.epoch_progress.current
            now, progress.processed = progress.processed, again["epoch"]
            trainer.validating = stage == "validation"
            loop._combined_loader = None
            loop.setup_data()
            trainer.training = True
            progress.processed = now
        self._built = {stage: dict(each) for stage, each in built.items()}

    def rewind(self, written: Mapping[str, Any]) -> None:
        """Put every loader back where it stood."""
        fit = self._trainer.fit_loop
        _rewind_each(_validation(fit), written["validation"])
        training = written["training"]
        if training is not None:
            _rewind_each(fit._combined_loader, training["loaders"])
            if training["live"]:
                _rewind_fetcher(fit._data_fetcher, training)
                fit._data_fetcher._start_profiler = fit.epoch_loop._on_before_fetch
                fit._data_fetcher._stop_profiler = fit.epoch_loop._on_after_fetch
        found = [
            journal
            for each in (*_flat(fit._combined_loader), *_flat(_validation(fit)))
            if (journal := journals.journal_of(each)) is not None
        ]
        for journal, entries in zip(found, written["objects"], strict=True):
            journal.own.undo(entries)

    def close(self) -> None:
        """Let go of every iterator, and of the workers behind them."""
        fit = self._trainer.fit_loop
        for each in (fit._combined_loader, _validation(fit)):
            if each is not None:
                each.reset()

    def _must_rebuild(self, stage: str, built: Mapping[str, Any]) -> bool:
        here = self._built.get(stage, {}).get("epoch")
        return stage in built and built[stage]["epoch"] != here

    def _program(self) -> tuple[list[Node], Mapping[int, str]]:
        """Return what the model and the datamodule hold, and the places it refers to."""
        known = surroundings.by_identity(surroundings.places(self._trainer))
        nodes = objects.walk(surroundings.roots(self._trainer), known)
        return [each for each in nodes if each.path.startswith(_HOOKED)], known

    def _journal(self, loader: Any) -> Journal:
        is_resumed = bool(self._trainer.training)
        stage = "training" if is_resumed else "validation"
        name = f"loaders/{stage}/{self._counts.get(stage, 0)}"
        self._counts[stage] = self._counts.get(stage, 0) + 1
        root = Root(name, loader) if is_open(loader) else None
        own = _Own(self._trainer, root)
        journal = Journal(name, loader, own, is_resumed=is_resumed)
        journal.asleep = self.asleep
        self._journals.append(journal)
        return journal


class _Own:
    """A loader's own objects: its dataset, sampler and generators, unless they are the model's."""

    def __init__(self, trainer: Any, root: Root | None) -> None:
        self._trainer = trainer
        self._root = root
        self._baseline = Baseline()
        if root is not None:
            known = surroundings.by_identity(surroundings.places(trainer))
            self._baseline.settle(objects.walk([root], known), known)
            self._baseline.survey(objects.walk([root], known))

    def changes(self) -> Entries:
        """Return what differs from when the loader was made."""
        if self._root is None:
            return {}
        known = surroundings.by_identity(surroundings.places(self._trainer))
        return objects.capture(objects.walk([self._root], known), self._baseline, known)

    def is_whole(self) -> bool:
        """Return whether `changes` tells all that these objects remember."""
        if self._root is None:
            return False
        known = surroundings.by_identity(surroundings.places(self._trainer))
        root = Root(self._root.path, self._root.value, frozenset({"worker_init_fn"}))
        return objects.is_whole(objects.walk([root], known))

    def undo(self, entries: Entries) -> None:
        """Put the loader's objects back to how `changes` saw them."""
        if self._root is None:
            return
        found = surroundings.places(self._trainer)
        known = surroundings.by_identity(found)
        refit([self._root], entries, known, found, self._baseline)


def _flat(combined: Any) -> list[Any]:
    return list(combined.flattened) if combined is not None else []


def _validation(fit: Any) -> Any:
    return fit.epoch_loop.val_loop._combined_loader


def _training(combined: Any, fetcher: Any, mid_epoch: bool) -> dict[str, Any] | None:
    if combined is None or fetcher is None:
        return None
    iterator = combined._iterator if mid_epoch else None
    pending = len(getattr(fetcher, "batches", ())) if mid_epoch else 0
    inner = iterator.iterators if iterator is not None else [None] * len(combined.flattened)
    written = {
        "live": iterator is not None,
        "loaders": [
            _written(loader, each, pending)
            for loader, each in zip(combined.flattened, inner, strict=True)
        ],
    }
    if iterator is not None:
        written.update(
            index=iterator._idx - pending,
            consumed=list(getattr(iterator, "_consumed", ())),
            pending=pending,
            fetched=fetcher.fetched - pending,
            done=fetcher.done,
            handed=[getattr(fetcher, name, None) for name in ("_batch_idx", "_dataloader_idx")],
        )
    return written


def _written(loader: Any, iterator: Any, unused: int = 0) -> dict[str, Any] | None:
    journal = journals.journal_of(loader)
    written = None if journal is None else journal.written(iterator, unused)
    if written is not None and any(each["count"] < 0 for each in written["passes"]):
        raise StateError(
            "a loader began again while a batch was fetched ahead",
            hint="give every loader a length, so that nothing is fetched ahead",
        )
    return written


def _rewind_each(combined: Any, written: list[Any]) -> None:
    loaders = _flat(combined)
    if len(loaders) != len(written):
        raise StateError(f"{len(written)} loaders were recorded, the program has {len(loaders)}")
    for each, text in zip(loaders, written, strict=True):
        journal = journals.journal_of(each)
        if text is not None and journal is not None:
            journal.rewind(text)


def _rewind_fetcher(fetcher: Any, written: Mapping[str, Any]) -> None:
    """Make the iterators again, and the batches that had been fetched ahead."""
    plain: Any = next(each for each in type(fetcher).__mro__ if each.__name__ == "_DataFetcher")
    ahead = hasattr(fetcher, "batches")
    plain.__iter__(fetcher) if ahead else iter(fetcher)
    iterator = fetcher.combined_loader._iterator
    iterator._idx = written["index"]
    if hasattr(iterator, "_consumed"):
        iterator._consumed = list(written["consumed"])
    fetcher.fetched = written["fetched"]
    for name, value in zip(("_batch_idx", "_dataloader_idx"), written["handed"], strict=True):
        if hasattr(fetcher, name):
            setattr(fetcher, name, value)
    if ahead:
        fetcher.batches = [plain.__next__(fetcher) for _ in range(written["pending"])]
    fetcher.done = written["done"]
