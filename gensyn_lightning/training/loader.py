"""A loader that can be put back where it was: by drawing again from where its iterator began.

A loader keeps, for the iterator it is in, the generators' state when the iterator was made and
when its first batch was drawn, and how many batches it gave. Putting it back means making the
iterator from the same generators and drawing as many batches, which are thrown away. That is exact
for every map-style dataset, with and without workers. Where a sampler or an iterable dataset may
remember what it drew from the shared generators, the state before each such draw is kept too.
Persistent workers carry their generators on from epoch to epoch, so for them every epoch since
the workers began is drawn again.

Batches are not fetched again where that cannot matter: where torch's own datasets hold tensors
(see `fetches_leave_no_trace`), or where batches are fetched in this process and all that the
dataset remembers is in its attributes, which are put back by themselves. Then only indices are
drawn.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from torch.utils import data

from gensyn_lightning.errors import LimitExceeded
from gensyn_lightning.training import randomness

DRAWS_MAX = 4096
EPOCHS_MAX = 4096

_PLAIN_SAMPLERS = (
    data.SequentialSampler,
    data.RandomSampler,
    data.SubsetRandomSampler,
    data.WeightedRandomSampler,
    data.DistributedSampler,
)


@dataclass(slots=True)
class Pass:
    """One iterator of a loader: where the generators stood, and how many batches it gave.

    `objects` is what had changed by then in the loader's own objects; `draws` holds the
    generators' state before each batch that drew from them, by number.
    """

    start: dict[str, Any]
    objects: dict[str, Any]
    first: dict[str, Any] | None = None
    count: int = 0
    draws: dict[int, dict[str, Any]] = field(default_factory=dict)

    def written(self) -> dict[str, Any]:
        """Return the pass as plain values."""
        return {
            "start": self.start,
            "first": self.first,
            "count": self.count,
            "draws": dict(self.draws),
            "objects": self.objects,
        }


class Belongings(Protocol):
    """A loader's own objects: its dataset, sampler and generators."""

    def changes(self) -> dict[str, Any]:
        """Return what has changed in them, as plain values that MUST be enough to `undo` it."""

    def undo(self, before: dict[str, Any]) -> None:
        """Put them back to how `changes` saw them."""

    def is_whole(self) -> bool:
        """Return whether `changes` holds everything they remember from batch to batch."""


class Journal:
    """What one loader did, as far as it takes to find its place again.

    While `asleep`, iterators do nothing until a batch is asked of them. A validation loader is
    never stopped halfway: unless its workers persist, nothing is noted (`is_resumed` is false).
    """

    def __init__(self, name: str, loader: Any, own: Belongings, *, is_resumed: bool) -> None:
        self.name = name
        self.own = own
        self.asleep = False
        self.skipping = 0
        self._watches = not _draws_are_known(loader)
        self._persistent = bool(getattr(loader, "persistent_workers", False))
        self._records = is_resumed or self._persistent
        self._workers = int(getattr(loader, "num_workers", 0))
        self._traceless = fetches_leave_no_trace(loader) or (
            self._records and self._workers == 0 and _fetches_by_index(loader) and own.is_whole()
        )
        self._times_first = self._watches or self._workers == 0
        self._passes: list[Pass] = []
        self._past: list[Pass] = []
        self._past_is_live = False

    def begin(self, make: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """Return an iterator over what `make` iterates over, keeping track of it."""
        if self.asleep:
            return _Sleeping(lambda: self._fresh(make))
        if not self._records:
            return make()
        return self._again(make) if self._past else self._fresh(make)

    def written(self, iterator: Any, unused: int = 0) -> dict[str, Any] | None:
        """Return where `iterator` stands, less its last `unused` batches, as plain values.

        None when there is no iterator and nothing that the next one would carry on.
        """
        inner = iterator.inner if isinstance(iterator, _Sleeping) else iterator
        passes = (self._past or self._passes) if self._persistent else []
        live = isinstance(inner, Watched)
        if isinstance(inner, Watched) and not self._persistent:
            passes = [inner.record]
        if not passes:
            return None
        written = [each.written() for each in passes]
        written[-1]["count"] -= unused
        return {"live": live, "passes": written}

    def rewind(self, written: dict[str, Any]) -> None:
        """Make the next iterator begin where the written one stood, or carry on after it."""
        self._past = [Pass(**each) for each in written["passes"]]
        self._past_is_live = bool(written["live"])
        self._passes = []

    def _fresh(self, make: Callable[[], Iterator[Any]]) -> Watched:
        # Copies, because the program goes on changing what it has.
        record = Pass(randomness.read(), copy.deepcopy(self.own.changes()))
        self._passes = [*self._passes, record] if self._persistent else [record]
        if len(self._passes) > EPOCHS_MAX:
            raise LimitExceeded(
                f"{self.name} has kept its workers for more than {EPOCHS_MAX} epochs",
                hint="use persistent_workers=False",
            )
        return Watched(make(), record, watches=self._watches, times_first=self._times_first)

    def _again(self, make: Callable[[], Iterator[Any]]) -> Watched:
        past, self._past = self._past, []
        if self._past_is_live:
            return [self._replay(make, each) for each in past][-1]
        live = randomness.read()
        for each in past:
            self._replay(make, each)
        randomness.write(live)
        return self._fresh(make)

    def _replay(self, make: Callable[[], Iterator[Any]], old: Pass) -> Watched:
        self.own.undo(copy.deepcopy(old.objects))
        randomness.write(old.start)
        traceless = self._traceless and not self._persistent
        at_once = traceless and self._workers > 0
        self.skipping = old.count if at_once else 0
        watched = self._fresh(make)
        self.skipping = 0
        watched.resume(old, fetching=not traceless, counting=not at_once)
        return watched


class Watched:
    """An iterator that counts what it gives and notes where the generators stood."""

    def __init__(
        self, inner: Iterator[Any], record: Pass, *, watches: bool, times_first: bool
    ) -> None:
        self.inner = inner
        self.record = record
        self._watches = watches
        self._feed: dict[int, dict[str, Any]] = {}
        self._made = randomness.read() if times_first else None

    def __iter__(self) -> Watched:
        return self

    def __len__(self) -> int:
        return len(cast(Any, self.inner))

    def __next__(self) -> Any:
        record = self.record
        fed = self._feed.pop(record.count, None)
        if fed is not None:
            randomness.write(fed)
        before = None
        if record.count == 0:
            self._begin(fed)
        elif self._watches and fed is None:
            before = randomness.read()
        item = next(self.inner)
        if before is not None and not randomness.same(before, randomness.read()):
            self._note(before)
        record.count += 1
        return item

    def resume(self, old: Pass, *, fetching: bool, counting: bool) -> None:
        """Go to where `old` stood, which began from the same generators."""
        record = self.record
        record.objects, record.first, record.draws = old.objects, old.first, dict(old.draws)
        self._feed = dict(old.draws)
        if old.first is not None:
            self._feed[0] = old.first
        while counting and record.count < old.count:
            fed = self._feed.pop(record.count, None)
            if fed is not None:
                randomness.write(fed)
            if fetching:
                next(self.inner)
            else:
                _pass_over(self.inner)
            record.count += 1
        record.count = old.count

    def _begin(self, fed: dict[str, Any] | None) -> None:
        """Note where the generators stand if something was drawn since the iterator was made."""
        if self._made is None or self.record.first is not None or fed is not None:
            return
        now = randomness.read()
        if not randomness.same(self._made, now):
            self.record.first = now

    def _note(self, before: dict[str, Any]) -> None:
        if len(self.record.draws) >= DRAWS_MAX:
            raise LimitExceeded(
                f"a loader drew from the shared generators before more than {DRAWS_MAX} batches",
                hint="give its dataset or sampler a torch.Generator of its own",
            )
        self.record.draws[self.record.count] = before


class _Sleeping:
    """An iterator that is made when the first batch is asked of it."""

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        self._make = make
        self.inner: Iterator[Any] | None = None

    def __iter__(self) -> _Sleeping:
        return self

    def __next__(self) -> Any:
        if self.inner is None:
            self.inner = self._make()
        return next(self.inner)


class _Skipping:
    """A sampler without its first indices."""

    def __init__(self, sampler: Iterable[Any], count: int) -> None:
        self._sampler = sampler
        self._count = count

    def __iter__(self) -> Iterator[Any]:
        # Not before the first index is asked for: the seed of the workers is drawn first.
        indices = iter(self._sampler)
        for _ in range(self._count):
            next(indices)
        yield from indices

    def __len__(self) -> int:
        return len(cast(Any, self._sampler))


class Followed:
    """Any iterable that is no `DataLoader`, followed by a journal."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._gensyn_journal: Journal

    def __iter__(self) -> Iterator[Any]:
        return self._gensyn_journal.begin(lambda: iter(self._loader))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_gensyn") or name == "_loader":
            raise AttributeError(name)
        return getattr(self._loader, name)


class FollowedSized(Followed):
    """The same, with a length."""

    def __len__(self) -> int:
        return len(self._loader)


def follow(loader: Any, journal_of: Callable[[Any], Journal]) -> Any:
    """Return a loader that keeps a journal and gives what `loader` gives.

    A `DataLoader` stays the object it is; its class becomes a subclass of what it was.
    """
    if isinstance(loader, Followed) or hasattr(loader, "_gensyn_journal"):
        return loader
    if isinstance(loader, data.DataLoader):
        journal = journal_of(loader)
        loader.__class__ = _following(cast(Any, type(loader)))
        vars(loader)["_gensyn_journal"] = journal
        return loader
    made = FollowedSized(loader) if hasattr(loader, "__len__") else Followed(loader)
    made._gensyn_journal = journal_of(loader)
    return made


def journal_of(loader: Any) -> Journal | None:
    """Return the journal of a followed loader."""
    found: Journal | None = getattr(loader, "_gensyn_journal", None)
    return found


def fetches_leave_no_trace(loader: Any) -> bool:
    """Return whether fetching a batch provably changes nothing but the sampler.

    True for tensors in memory with torch's own dataset, collate function and samplers.
    """
    return (
        _fetches_by_index(loader)
        and _is_inert(loader.dataset)
        and loader.collate_fn is data.default_collate
        and loader.worker_init_fn is None
        and not loader.pin_memory
    )


def _fetches_by_index(loader: Any) -> bool:
    """Return whether a batch is what a map-style dataset has at the indices of torch's samplers."""
    return (
        isinstance(loader, data.DataLoader)
        and type(loader).__iter__ is data.DataLoader.__iter__
        and not isinstance(loader.dataset, data.IterableDataset)
        and _draws_are_known(loader)
    )


def _is_inert(dataset: Any) -> bool:
    match type(dataset):
        case data.TensorDataset:
            return True
        case data.Subset:
            return type(dataset.indices) in (list, range) and _is_inert(dataset.dataset)
        case data.ConcatDataset:
            return all(_is_inert(each) for each in dataset.datasets)
        case data.StackDataset:
            inner = dataset.datasets
            return all(_is_inert(each) for each in getattr(inner, "values", lambda: inner)())
    return False


def _draws_are_known(loader: Any) -> bool:
    """Return whether only the first batch of an iterator can depend on the shared generators."""
    if not isinstance(loader, data.DataLoader):
        return type(loader) in (list, tuple)
    if isinstance(loader.dataset, data.IterableDataset):
        return loader.num_workers > 0
    sampler = loader.sampler
    if type(loader.batch_sampler) is data.BatchSampler:
        sampler = loader.batch_sampler.sampler
    elif loader.batch_sampler is not None:
        return False
    return type(sampler) in _PLAIN_SAMPLERS


def _pass_over(iterator: Any) -> None:
    iterator._next_index()
    iterator._num_yielded += 1


@functools.lru_cache
def _following(kind: type[data.DataLoader[Any]]) -> type[data.DataLoader[Any]]:
    class FollowedLoader(kind):  # type: ignore[valid-type, misc]
        """A `DataLoader` that keeps a journal."""

        def __iter__(self) -> Any:
            journal: Journal = vars(self)["_gensyn_journal"]
            return journal.begin(super().__iter__)

        @property
        def _index_sampler(self) -> Any:
            sampler = super()._index_sampler
            journal: Journal = vars(self)["_gensyn_journal"]
            return _Skipping(sampler, journal.skipping) if journal.skipping else sampler

    FollowedLoader.__name__ = kind.__name__
    FollowedLoader.__qualname__ = kind.__qualname__
    FollowedLoader.__module__ = kind.__module__
    return FollowedLoader
