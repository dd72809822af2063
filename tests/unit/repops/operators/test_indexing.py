"""Reads and writes at places named by indices: kernels as stages, near to binary64, same errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from gensyn_lightning.repops import library
from gensyn_lightning.repops.registry import reproducible

# Torch warns of what it means to drop, and of running without kernels.
pytestmark = pytest.mark.filterwarnings("ignore")
Call = Callable[[Tensor, Tensor], Any]
ROWS = torch.tensor([4, 0, -1, 2, 0, 4, 4])
WIDE = torch.tensor([[4, 0, 1, 2, 0, 4], [0, 3, 3, 1, 4, 0], [1, 1, 1, 1, 0, 2]])
MASK = torch.tensor([True, False, True, True, False])
SQUARE = torch.tensor([[True, False, True, False, True, False]] * 5)
REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")
COLUMNS = WIDE[:, :3]

# Of x with shape (5, 6) and y with shape (7, 6).
CALLS: dict[str, Call] = {
    "rows": lambda x, y: x[ROWS],
    "rows and columns": lambda x, y: x[ROWS, ROWS],
    "columns": lambda x, y: x[:, ROWS],
    "rows of a slice": lambda x, y: x[1:][[-1, 0]][:, ::2],
    "rows apart from columns": lambda x, y: x[:, None][ROWS, :, ROWS],
    "a mask": lambda x, y: x[MASK],
    "a mask of elements": lambda x, y: x[SQUARE],
    "a mask and a number": lambda x, y: x[MASK, 2],
    "nothing": lambda x, y: x[ROWS[:0]],
    "gather": lambda x, y: x.gather(0, WIDE),
    "gather along": lambda x, y: x.gather(1, COLUMNS),
    "take": lambda x, y: x.take(torch.tensor([[29, 0], [-30, -1]])),
    "take_along_dim": lambda x, y: x.take_along_dim(WIDE, 0),
    "index_select": lambda x, y: x.index_select(0, ROWS % 5),
    "masked_select": lambda x, y: x.masked_select(SQUARE),
    "where": lambda x, y: torch.where(SQUARE, x, y[:5]),
    "put rows": lambda x, y: x.index_put((ROWS[:4],), y[:4]),
    "put one value": lambda x, y: x.index_put((ROWS,), y[0, 0]),
    "put by a mask": lambda x, y: x.index_put((SQUARE,), y[0, 0]),
    "put elements": lambda x, y: x.index_put((torch.arange(5), torch.arange(5)), y[0, :5]),
    "add rows": lambda x, y: x.index_put((ROWS,), y, accumulate=True),
    "add elements": lambda x, y: x.index_put((ROWS, ROWS), y[:, 0], accumulate=True),
    "add columns": lambda x, y: x.index_put(
        (torch.arange(5)[:, None], ROWS[None]), y.T[:5], accumulate=True
    ),
    "index_add": lambda x, y: x.index_add(0, ROWS % 5, y, alpha=0.5),
    "index_add along": lambda x, y: x.index_add(1, ROWS[:5] % 5, y.T[:5, :5]),
    "index_copy": lambda x, y: x.index_copy(0, torch.tensor([3, 1]), y[:2]),
    "index_fill": lambda x, y: x.index_fill(0, ROWS[3:], 0.5),
    "index_fill of a tensor": lambda x, y: x.index_fill(1, ROWS % 5, y[0, 0]),
    "masked_fill": lambda x, y: x.masked_fill(SQUARE, 0.5),
    "masked_fill of a tensor": lambda x, y: x.masked_fill(SQUARE, y[0, 0]),
    "masked_scatter": lambda x, y: x.masked_scatter(SQUARE, y),
    "scatter": lambda x, y: x.scatter(0, torch.tensor([[4, 0, 1, 2, 0, 4]]), y[:1]),
    "scatter a number": lambda x, y: x.scatter(1, COLUMNS, 0.5),
    "scatter_add": lambda x, y: x.scatter_add(0, WIDE, y[:3]),
    "scatter_add along": lambda x, y: x.scatter_add(1, COLUMNS, y[:3, :3]),
    "scatter and add": lambda x, y: x.detach().scatter(0, WIDE, y[:3].detach(), reduce="add"),
    "put": lambda x, y: x.put(torch.tensor([29, 0, -2]), y[0, :3]),
    "put and add": lambda x, y: x.put(torch.tensor([3, 0, 3]), y[0, :3], accumulate=True),
    "setitem": lambda x, y: assigned(x, (ROWS[1:4], slice(1, 4)), y[1:4, 1:4]),
    "setitem of a number": lambda x, y: assigned(x, MASK, 2.0),
    "select_scatter": lambda x, y: x.select_scatter(y[0], 0, 2),
    "slice_scatter": lambda x, y: x.slice_scatter(y[:2], 0, 1, 5, 2),
    "diagonal_scatter": lambda x, y: x.diagonal_scatter(y[0, :5]),
    "repeat_interleave": lambda x, y: x.repeat_interleave(torch.tensor([1, 0, 2, 3, 1]), 0),
    "bincount": lambda x, y: torch.bincount(ROWS % 5, y[:, 0].detach()),
}
for _kind in REDUCTIONS:
    for _self in (True, False):
        CALLS[f"scatter_reduce {_kind} {_self}"] = lambda x, y, k=_kind, s=_self: x.scatter_reduce(
            0, WIDE, y[:3], k, include_self=s
        )
        if _kind != "sum":
            CALLS[f"index_reduce {_kind} {_self}"] = lambda x, y, k=_kind, s=_self: (
                x.detach().index_reduce(0, ROWS % 5, y.detach(), k, include_self=s)
            )

# What names no place, or does not fit, of x with shape (5, 6).
WRONG: dict[str, Call] = {
    "rows": lambda x, y: x[torch.tensor([5])],
    "negative rows": lambda x, y: x[torch.tensor([-6])],
    "a mask of another shape": lambda x, y: x[torch.tensor([True, False])],
    "shapes of indices": lambda x, y: x[torch.tensor([1, 2]), torch.tensor([1, 2, 3])],
    "gather": lambda x, y: x.gather(0, torch.tensor([[5]])),
    "negative gather": lambda x, y: x.gather(0, torch.tensor([[-1]])),
    "gather of int32": lambda x, y: x.gather(0, torch.tensor([[1.0]])),
    "take": lambda x, y: x.take(torch.tensor([30])),
    "index_select": lambda x, y: x.index_select(0, torch.tensor([5])),
    "negative index_select": lambda x, y: x.index_select(0, torch.tensor([-1])),
    "put rows": lambda x, y: x.index_put((torch.tensor([5]),), y[0]),
    "add rows": lambda x, y: x.index_put((torch.tensor([-6]),), y[0], accumulate=True),
    "put rows that do not fit": lambda x, y: x.index_put((torch.tensor([1, 2]),), y[:3]),
    "index_add": lambda x, y: x.index_add(0, torch.tensor([5]), y[:1]),
    "negative index_add": lambda x, y: x.index_add(0, torch.tensor([-1]), y[:1]),
    "index_add of other rows": lambda x, y: x.index_add(0, torch.tensor([1]), y[:2]),
    "index_copy": lambda x, y: x.index_copy(0, torch.tensor([5]), y[:1]),
    "index_fill": lambda x, y: x.index_fill(0, torch.tensor([5]), 1.0),
    "scatter": lambda x, y: x.scatter(0, torch.tensor([[5]]), y[:1, :1]),
    "scatter a number": lambda x, y: x.scatter(0, torch.tensor([[-1]]), 1.0),
    "scatter_add": lambda x, y: x.scatter_add(0, torch.tensor([[5]]), y[:1, :1]),
    "scatter_reduce": lambda x, y: x.scatter_reduce(0, torch.tensor([[5]]), y[:1, :1], "amax"),
    "scatter of columns": lambda x, y: x.scatter(0, torch.zeros(1, 7).long(), y.T[:1]),
    "scatter of few": lambda x, y: x.scatter(0, torch.zeros(3, 2).long(), y[:1]),
    "scatter of ranks": lambda x, y: x.scatter_add(0, torch.zeros(3).long(), y),
    "scatter by floats": lambda x, y: x.scatter_add(0, torch.zeros(1, 1), y),
    "index_reduce": lambda x, y: x.index_reduce(0, torch.tensor([1]), y[:2], "amax"),
    "index_copy of columns": lambda x, y: x.index_copy(0, torch.tensor([1]), y[:1, :3]),
    "shapes of indices to put": lambda x, y: x.index_put((ROWS[:2], ROWS[:3]), y[0, 0]),
    "put": lambda x, y: x.put(torch.tensor([30]), y[0, :1]),
    "masked_fill": lambda x, y: x.masked_fill(torch.ones(3, 3, dtype=torch.bool), 1.0),
    "masked_scatter": lambda x, y: x.masked_scatter(torch.ones(5, 6, dtype=torch.bool), y[:1]),
    "embedding": lambda x, y: torch.nn.functional.embedding(torch.tensor([5]), x),
}


def assigned(x: Tensor, place: Any, value: Any) -> Tensor:
    made = x.clone()
    made[place] = value
    return made


def inputs(dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return numbers that are the same in any computation, as torch's draws are not."""
    places = torch.arange(72, dtype=torch.int64) * (37 + 2 * seed) % 101
    values = ((places - 50).double() / 32).to(dtype)
    return values[:30].reshape(5, 6).clone(), values[30:].reshape(7, 6).clone()


def results_of(call: Call, dtype: torch.dtype) -> list[Tensor]:
    """Return what a call returns, and the gradients of x and y."""
    x, y = (each.requires_grad_() for each in inputs(dtype))
    made = call(x, y)
    if made.requires_grad:
        places = torch.arange(made.numel()).reshape(made.shape) * 7 % 16
        made.backward((places - 8).to(dtype) / 8)
    return [each.detach() for each in (made, x.grad, y.grad) if each is not None]


def raised(call: Call) -> type[Exception] | None:
    try:
        call(*inputs(torch.float32))
    except Exception as error:
        return type(error)
    return None


@pytest.fixture(scope="module")
def right() -> dict[str, list[Tensor]]:
    return {name: results_of(call, torch.float64) for name, call in CALLS.items()}


@pytest.fixture(scope="module")
def errors() -> dict[str, type[Exception] | None]:
    return {name: raised(call) for name, call in WRONG.items()}


@pytest.fixture(scope="module")
def by_stages() -> dict[str, list[Tensor]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load", lambda: None)
        with reproducible():
            return {name: results_of(call, torch.float32) for name, call in CALLS.items()}


@pytest.fixture(scope="module", autouse=True)
def computing(right: Any, errors: Any, by_stages: Any) -> Iterator[None]:
    with reproducible():
        yield


@pytest.mark.parametrize("name", CALLS)
def test_results_and_gradients_are_near_to_binary64(name: str, right: Any) -> None:
    found = results_of(CALLS[name], torch.float32)
    for ours, exact in zip(found, right[name], strict=True):
        assert ours.shape == exact.shape
        torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CALLS)
def test_kernels_compute_what_the_stages_say(name: str, by_stages: Any) -> None:
    found = results_of(CALLS[name], torch.float32)
    assert all(map(torch.equal, found, by_stages[name]))


@pytest.mark.parametrize("name", WRONG)
def test_what_names_no_place_is_an_error_as_it_is_in_torch(name: str, errors: Any) -> None:
    assert errors[name] is not None
    found = raised(WRONG[name])
    assert found in {errors[name], IndexError}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_added_up_in_binary32(dtype: torch.dtype) -> None:
    ones = torch.ones(1000, 1, dtype=dtype)
    index = torch.zeros(1000, dtype=torch.int64)
    assert float(torch.zeros(2, 1, dtype=dtype).index_add(0, index, ones)[0]) == 1000
    assert float(torch.zeros(2, 1, dtype=dtype).scatter_add(0, index[:, None], ones)[0]) == 1000


def test_sums_do_not_depend_on_strides() -> None:
    x, y = inputs(torch.float32)
    index = torch.arange(7) % 3
    wanted = x.index_add(0, index, y)
    turned = x.t().contiguous().t().index_add(0, index, y.t().contiguous().t())
    spread = torch.zeros(10, 12)[::2, ::2].copy_(x).index_add(0, index, y)
    assert torch.equal(wanted, turned)
    assert torch.equal(wanted, spread)


def test_terms_are_added_in_the_order_of_their_places() -> None:
    terms = torch.tensor([1e8, 1.0, -1e8, 1.0])
    found = torch.zeros(1).index_add(0, torch.zeros(4, dtype=torch.int64), terms)
    assert float(found) == 1.0


def test_a_maximum_of_no_number_is_none() -> None:
    index = torch.tensor([0, 0, 1])
    values = torch.tensor([1.0, float("nan"), 2.0])
    found = torch.zeros(2).scatter_reduce(0, index, values, "amax")
    assert found[0].isnan()
    assert float(found[1]) == 2.0


def test_integers_are_added_exactly() -> None:
    index = torch.tensor([0, 0, 1])
    values = torch.tensor([2**62, 3, 4])
    assert torch.zeros(2, dtype=torch.int64).scatter_add(0, index, values).tolist() == [
        2**62 + 3,
        4,
    ]
