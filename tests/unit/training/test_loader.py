"""A loader put back where it was gives the batches it would have given, whatever it draws from."""

import random
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, TensorDataset

from gensyn_lightning.errors import LimitExceeded
from gensyn_lightning.training import loader as loaders
from gensyn_lightning.training import randomness
from gensyn_lightning.training.loader import Journal, fetches_leave_no_trace, follow, journal_of

X = torch.arange(24.0).reshape(12, 2)


class Noisy(Dataset[Any]):
    """Noise from all generators, and a memory of what was drawn."""

    def __init__(self) -> None:
        self.total = 0.0

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        self.total += float(X[index].sum())
        return X[index] + torch.rand(2) + random.random() + float(np.random.rand()) + self.total


class Walk(IterableDataset[Any]):
    """A random walk: every item depends on all draws before it."""

    def __iter__(self) -> Iterator[Any]:
        place = torch.zeros(2)
        for _ in range(12):
            place = place + torch.randn(2)
            yield place.clone()


class Sampler(torch.utils.data.Sampler[int]):
    """Draws from a shrinking pool, one global draw per item."""

    def __iter__(self) -> Iterator[int]:
        pool = list(range(12))
        while pool:
            yield pool.pop(random.randrange(len(pool)))

    def __len__(self) -> int:
        return 12


LOADERS: dict[str, Callable[[], Any]] = {
    "shuffled": lambda: DataLoader(TensorDataset(X), batch_size=2, shuffle=True),
    "shuffled, two workers": lambda: DataLoader(
        TensorDataset(X), batch_size=2, shuffle=True, num_workers=2
    ),
    "noisy": lambda: DataLoader(Noisy(), batch_size=2, shuffle=True),
    "noisy, two workers": lambda: DataLoader(Noisy(), batch_size=2, shuffle=True, num_workers=2),
    "noisy, workers that persist": lambda: DataLoader(
        Noisy(), batch_size=2, shuffle=True, num_workers=2, persistent_workers=True
    ),
    "own generator": lambda: DataLoader(
        TensorDataset(X), batch_size=2, shuffle=True, generator=torch.Generator().manual_seed(4)
    ),
    "weighted": lambda: DataLoader(
        TensorDataset(X),
        batch_size=2,
        sampler=torch.utils.data.WeightedRandomSampler([1.0] * 12, 12),
    ),
    "own sampler": lambda: DataLoader(TensorDataset(X), batch_size=2, sampler=Sampler()),
    "random walk": lambda: DataLoader(Walk(), batch_size=2),
    "random walk, one worker": lambda: DataLoader(Walk(), batch_size=2, num_workers=1),
    "a list": lambda: [X[index : index + 2] for index in range(0, 12, 2)],
}


class Own:
    """The dataset's total and the loader's generator."""

    def __init__(self, loader: Any, whole: bool) -> None:
        self.dataset = getattr(loader, "dataset", None)
        self.generator = getattr(loader, "generator", None)
        self.whole = whole

    def changes(self) -> dict[str, Any]:
        found: dict[str, Any] = {"total": getattr(self.dataset, "total", None)}
        if self.generator is not None:
            found["generator"] = self.generator.get_state()
        return found

    def undo(self, before: dict[str, Any]) -> None:
        if before["total"] is not None:
            cast(Any, self.dataset).total = before["total"]
        if "generator" in before:
            cast(Any, self.generator).set_state(before["generator"])

    def is_whole(self) -> bool:
        return self.whole


class Followed:
    """A loader as a fit uses it: between two batches others draw from the generators too."""

    def __init__(self, make: Callable[[], Any], whole: bool = True) -> None:
        self.whole = whole
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)
        self.loader = follow(make(), self._journal)
        self.journal: Journal = self.loader._gensyn_journal
        self.iterator: Any = None

    def epoch(self, count: int) -> list[Any]:
        self.iterator = iter(self.loader)
        torch.rand(1)
        return self.go_on(count)

    def go_on(self, count: int) -> list[Any]:
        batches = []
        for _ in range(count):
            batches.append(next(self.iterator))
            torch.rand(3)
            random.random()
            np.random.rand()
        return batches

    def _journal(self, loader: Any) -> Journal:
        return Journal("loader", loader, Own(loader, self.whole), is_resumed=True)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("whole", [True, False], ids=["by index", "by batch"])
def test_a_loader_goes_on_where_it_stood(name: str, count: int, whole: bool) -> None:
    straight = Followed(LOADERS[name], whole)
    straight.epoch(6)
    straight.epoch(count)
    stood = straight.journal.written(straight.iterator)
    changes, generators = straight.journal.own.changes(), randomness.read()
    expected = straight.go_on(6 - count) + straight.epoch(2)

    again = Followed(LOADERS[name], whole)
    assert stood is not None
    again.journal.rewind(stood)
    again.iterator = iter(again.loader)
    again.journal.own.undo(changes)
    randomness.write(generators)
    assert _plain(again.journal.written(again.iterator)) == _plain(stood)
    got = again.go_on(6 - count) + again.epoch(2)
    for left, right in zip(_tensors(expected), _tensors(got), strict=True):
        assert torch.equal(left, right)


def test_a_dataset_that_is_whole_is_not_asked_again() -> None:
    straight = Followed(LOADERS["noisy"])
    straight.epoch(4)
    stood = straight.journal.written(straight.iterator)
    again = Followed(LOADERS["noisy"])
    assert stood is not None
    again.journal.rewind(stood)
    iter(again.loader)
    assert again.loader.dataset.total == 0.0


def test_a_batch_fetched_ahead_is_fetched_again() -> None:
    straight = Followed(LOADERS["random walk"])
    [*_, ahead] = straight.epoch(4)
    stood = straight.journal.written(straight.iterator, 1)
    again = Followed(LOADERS["random walk"])
    assert stood is not None
    again.journal.rewind(stood)
    assert torch.equal(next(iter(again.loader)), ahead)


def test_a_loader_asleep_draws_nothing_until_it_is_asked() -> None:
    followed = Followed(LOADERS["shuffled"])
    followed.journal.asleep = True
    before = randomness.read()
    iterator = iter(followed.loader)
    assert randomness.same(before, randomness.read())
    assert next(iterator)[0].shape == (2, 2)


def test_a_followed_loader_is_still_what_it_was() -> None:
    followed = Followed(LOADERS["shuffled"])
    assert isinstance(followed.loader, DataLoader)
    assert type(followed.loader).__name__ == "DataLoader"
    assert len(followed.loader) == 6
    assert journal_of(followed.loader) is followed.journal
    assert follow(followed.loader, followed._journal) is followed.loader
    assert len(Followed(LOADERS["a list"]).loader) == 6


def test_only_provably_inert_datasets_are_passed_over() -> None:
    inert = TensorDataset(X)
    split = torch.utils.data.random_split(inert, [6, 6])
    assert fetches_leave_no_trace(DataLoader(inert))
    assert fetches_leave_no_trace(DataLoader(split[0], shuffle=True))
    assert fetches_leave_no_trace(DataLoader(ConcatDataset([inert, split[1]])))
    assert not fetches_leave_no_trace(DataLoader(Noisy()))
    assert not fetches_leave_no_trace(DataLoader(inert, collate_fn=lambda batch: batch))
    assert not fetches_leave_no_trace(DataLoader(inert, sampler=Sampler()))


def test_draws_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "DRAWS_MAX", 3)
    with pytest.raises(LimitExceeded, match="drew from the shared generators"):
        Followed(LOADERS["own sampler"]).epoch(6)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    else:
        for each in value:
            yield from _tensors(each)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.tolist() if isinstance(value, torch.Tensor | np.ndarray) else value
