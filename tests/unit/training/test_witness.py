"""A witness record follows from the work of an event, and from nothing else."""

import pytest
import torch

from gensyn_lightning.errors import StateError
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.training import witness
from gensyn_lightning.training.witness import (
    EVENTS_PER_BLOCK,
    LEAVES_PER_BATCH_MAX,
    SLICES,
    Witness,
    tensors_digest,
)

ROOT = Digest(b"\1" * 32)


def root(**changes: object) -> bytes:
    """Return the root of a witness to two events."""
    given = {
        "batch": [torch.arange(6.0), ["a", 2]],
        "output": {"loss": torch.tensor(0.5)},
        "logged": {"loss": torch.tensor(0.5)},
        "weights": weights(),
        "start": ROOT,
        "event": 4,
        **changes,
    }
    made = Witness(given["start"])  # type: ignore[arg-type]
    made.watch(given["weights"])  # type: ignore[arg-type]
    made.batch(given["batch"])
    made.output(given["output"])
    made.close(given["event"], "training", given["logged"])  # type: ignore[arg-type]
    made.close(given["event"] + 1, "epoch", {})  # type: ignore[operator]
    return made.root()


def weights(change: float = 0.0, gradient: float = 1.0) -> list[torch.Tensor]:
    made = [torch.arange(3000.0) + change, torch.ones(7)]
    for each in made:
        each.grad = torch.full_like(each, gradient)
    return made


def slices(event: int, parameters: list[torch.Tensor], start: Digest = ROOT) -> str:
    """Return the digest of what is drawn from some parameters at an event."""
    made = Witness(start)
    made.watch(parameters)
    made.close(event, "training", {})
    return str(made.records[0]["slices"])


def test_the_same_work_has_the_same_root() -> None:
    assert root() == root()


@pytest.mark.parametrize(
    "change",
    [
        {"batch": [torch.arange(6.0) + 1, ["a", 2]]},
        {"batch": [torch.arange(6.0).reshape(2, 3), ["a", 2]]},
        {"batch": [torch.arange(6.0), ["b", 2]]},
        {"output": {"loss": torch.tensor(0.25)}},
        {"logged": {"loss": torch.tensor(0.25)}},
        {"weights": weights(change=1)},
        {"weights": weights(gradient=2)},
        {"weights": [each.clone() for each in weights()]},
        {"start": Digest(b"\2" * 32)},
        {"event": 5},
    ],
)
def test_any_change_of_the_work_changes_the_root(change: dict[str, object]) -> None:
    assert root(**change) != root()


def test_slices_do_not_depend_on_how_memory_lies() -> None:
    drawn = torch.randn(64, 32, 3, 3, generator=torch.Generator().manual_seed(1))
    plain = slices(1, [drawn])
    assert slices(1, [drawn.to(memory_format=torch.channels_last)]) == plain
    assert slices(2, [drawn]) != plain
    assert slices(1, [drawn], Digest(b"\2" * 32)) != plain


def test_places_differ_from_event_to_event_and_from_block_to_block() -> None:
    large = [torch.arange(1e6)]
    seen = {slices(event, large) for event in range(3 * EVENTS_PER_BLOCK)}
    assert len(seen) == 3 * EVENTS_PER_BLOCK


def test_a_record_is_of_its_event_also_when_it_is_hashed_later() -> None:
    weight = torch.zeros(100)
    one, many = [], Witness(ROOT)
    many.watch([weight])
    for event in range(2 * EVENTS_PER_BLOCK + 1):
        weight += 1
        batch, output = torch.full((3,), float(event)), torch.tensor(0.5 * event)
        single = Witness(ROOT)
        single.watch([weight])
        for each in (single, many):
            each.batch(batch)
            each.output(output)
            each.close(event, "training", {"loss": output})
        one += single.records
        batch.zero_()
        output.zero_()
    assert many.records == one


def test_a_parameter_that_shrinks_is_read_to_its_end() -> None:
    weight = torch.nn.Parameter(torch.arange(5000.0))
    made = Witness(ROOT)
    made.watch([weight])
    made.close(0, "training", {})
    weight.data = torch.ones(3)
    for event in range(1, SLICES):
        made.close(event, "training", {})
    assert len(made.records) == SLICES


@pytest.mark.parametrize(
    ("value", "digest"),
    [
        (torch.arange(6.0), "50a84434fa409e9e"),
        (torch.arange(12)[::2].reshape(2, 3), "2c1130b36138bb1f"),
        (torch.nn.Parameter(torch.full((3, 4), 0.1)), "f5e152cfb5fbc1f7"),
        (torch.linspace(0, 1, 5, dtype=torch.bfloat16)[2:], "2b593994c5a9bb08"),
        (torch.tensor([True, False]), "05401f42679c0724"),
        (torch.tensor([1 + 2j, 3 - 1j]).conj(), "7233de6e4231919d"),
        (torch.tensor(7.5), "c0277100e443d98a"),
    ],
)
def test_digests_of_tensors_stay_what_they_are(value: torch.Tensor, digest: str) -> None:
    assert tensors_digest(value)[:16] == digest


@pytest.mark.parametrize(
    ("event", "digest"),
    [
        (0, "838b19f79ef3f9bc"),
        (1, "e049dbd16b7c3069"),
        (64, "e72847e714f1d06b"),
        (1000, "a64afbe9331131c3"),
    ],
)
def test_digests_of_slices_stay_what_they_are(event: int, digest: str) -> None:
    parameters = [
        torch.arange(3000.0),
        torch.ones(7),
        torch.nn.Parameter(torch.arange(5000.0).reshape(50, 100)),
        torch.zeros(0),
        torch.arange(40, dtype=torch.int16).reshape(8, 5).t(),
    ]
    parameters[0].grad = torch.arange(3000.0) * 2
    assert slices(event, parameters)[:16] == digest


@pytest.mark.parametrize("whole", [torch.arange(12.0), torch.arange(12.0) * 1j])
def test_a_tensor_is_its_elements_wherever_they_lie(whole: torch.Tensor) -> None:
    for each in (whole[::2], whole.reshape(3, 4).t(), whole[3:], whole[:0], whole.conj()):
        assert tensors_digest(each) == tensors_digest(each.clone().resolve_conj())


def test_slices_of_nothing_have_a_digest() -> None:
    assert slices(1, []) == slices(1, [torch.empty(0)])


def test_a_sparse_gradient_is_no_place() -> None:
    table = torch.nn.Embedding(10, 4, sparse=True)
    table.weight.data = torch.zeros(10, 4)
    without = slices(1, [table.weight])
    table(torch.tensor([1, 2])).sum().backward()
    assert table.weight.grad is not None
    assert table.weight.grad.is_sparse
    assert slices(1, [table.weight]) == without


def test_large_batches_are_hashed_as_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = [torch.randn(100), torch.zeros(3, dtype=torch.bfloat16), None, 1.5, "text"]
    before = tensors_digest(batch)
    monkeypatch.setattr(witness, "HELD_BYTES_MAX", 0)
    assert tensors_digest(batch) == before


class Tagged(torch.Tensor):
    """A tensor of a class of its own, with memory as any other."""


def test_a_tensor_of_another_class_is_its_elements() -> None:
    plain = torch.arange(6.0).reshape(2, 3)
    assert tensors_digest(plain.as_subclass(Tagged)) == tensors_digest(plain)
    assert slices(1, [plain.as_subclass(Tagged)]) == slices(1, [plain])


def test_a_tensor_without_memory_is_refused_by_name() -> None:
    ragged = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)], layout=torch.jagged)
    emptied = torch.ones(4)
    emptied.untyped_storage().resize_(0)
    for each in (ragged, emptied):
        with pytest.raises(StateError, match=type(each).__name__):
            tensors_digest([each])


def test_endless_batches_are_read_to_a_limit() -> None:
    entries = {str(each): each for each in range(3 * LEAVES_PER_BATCH_MAX)}
    few = dict(list(entries.items())[: LEAVES_PER_BATCH_MAX // 2])
    assert tensors_digest(entries) == tensors_digest(few)
    assert tensors_digest([entries] * 10**6) == tensors_digest(few)
