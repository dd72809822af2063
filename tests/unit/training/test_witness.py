"""A witness record follows from the work of an event, and from nothing else."""

import pytest
import torch

from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.training import witness
from gensyn_lightning.training.witness import Witness, slices_digest, tensors_digest

ROOT = Digest(b"\1" * 32)


def root(**changes: object) -> bytes:
    """Return the root of a witness to two events."""
    given = {
        "batch": [torch.arange(6.0), ["a", 2]],
        "output": {"loss": torch.tensor(0.5)},
        "logged": {"loss": torch.tensor(0.5)},
        "weights": [torch.arange(3000.0), torch.ones(7)],
        "start": ROOT,
        "event": 4,
        **changes,
    }
    made = Witness(given["start"])  # type: ignore[arg-type]
    made.batch(given["batch"])
    made.output(given["output"])
    made.close(given["event"], "training", given["logged"], given["weights"])  # type: ignore[arg-type]
    made.close(given["event"] + 1, "epoch", {}, given["weights"])  # type: ignore[arg-type, operator]
    return made.root()


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
        {"weights": [torch.arange(3000.0) + 1, torch.ones(7)]},
        {"start": Digest(b"\2" * 32)},
        {"event": 5},
    ],
)
def test_any_change_of_the_work_changes_the_root(change: dict[str, object]) -> None:
    assert root(**change) != root()


def test_slices_do_not_depend_on_how_memory_lies() -> None:
    weights = torch.randn(64, 32, 3, 3, generator=torch.Generator().manual_seed(1))
    plain = slices_digest(ROOT, 1, [weights])
    assert slices_digest(ROOT, 1, [weights.to(memory_format=torch.channels_last)]) == plain
    assert slices_digest(ROOT, 2, [weights]) != plain


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
    [(0, "abeb60f8788642f1"), (1, "b82a89aa0163770e"), (9, "ef043bd1c1772411")],
)
def test_digests_of_slices_stay_what_they_are(event: int, digest: str) -> None:
    weights = [
        torch.arange(3000.0),
        torch.ones(7),
        torch.nn.Parameter(torch.arange(5000.0).reshape(50, 100)),
        torch.zeros(0),
        torch.arange(40, dtype=torch.int16).reshape(8, 5).t(),
    ]
    assert slices_digest(ROOT, event, weights)[:16] == digest


@pytest.mark.parametrize("whole", [torch.arange(12.0), torch.arange(12.0) * 1j])
def test_a_tensor_is_its_elements_wherever_they_lie(whole: torch.Tensor) -> None:
    for each in (whole[::2], whole.reshape(3, 4).t(), whole[3:], whole[:0], whole.conj()):
        assert tensors_digest(each) == tensors_digest(each.clone().resolve_conj())


def test_slices_of_nothing_have_a_digest() -> None:
    assert slices_digest(ROOT, 1, []) == slices_digest(ROOT, 1, [torch.empty(0)])


def test_large_batches_are_hashed_as_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = [torch.randn(100), torch.zeros(3, dtype=torch.bfloat16), None, 1.5, "text"]
    before = tensors_digest(batch)
    monkeypatch.setattr(witness, "JOINED_BYTES_MAX", 0)
    assert tensors_digest(batch) == before
