from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from gensyn_lightning.repops import exactness
from gensyn_lightning.repops.exactness import COMPOSITE, EXACT, INTEGERS, Class, named

LISTS = [EXACT, INTEGERS, COMPOSITE]
VALUES = [[0.5, 0.7, 1.2], [1.1, 0.9, 0.6], [0.8, 1.3, 0.55]]
# Stock torch computes these exactly; `zero` writes zeros.
EXACT_FOR_LISTS = ("ceil", "floor", "neg", "round", "trunc", "zero")


class Reached(Exception):
    pass


@contextmanager
def everything_inexact_raising() -> Iterator[None]:
    """Put a kernel that raises in the place of whatever is neither exact nor composite."""
    library = torch.library.Library("aten", "IMPL")

    def raising(*args: Any, **kwargs: Any) -> None:
        raise Reached

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in exactness.operators():
            if exactness.listed(name) in (Class.REFUSED, Class.INTEGERS):
                library.impl(name, raising, "CPU")
    try:
        yield
    finally:
        library._destroy()


def overload_of(name: str) -> Any:
    packet, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, packet), overload or "default")


def argument_of(kind: str, overload: str) -> Any:
    values = {
        "Tensor": torch.tensor([1.5, 2.5] if "addc" in overload else 1.5),
        "List[Tensor]": [torch.tensor(VALUES), torch.tensor(VALUES)],
        "List[number]": [1.5, 2.5],
        "number": 1.5,
    }
    return values[kind]


def test_every_operator_of_this_torch_has_a_class() -> None:
    assert len(exactness.operators()) > 2000
    for each in exactness.operators():
        assert isinstance(exactness.class_of(each), Class)


def test_an_unknown_operator_is_refused() -> None:
    assert exactness.class_of("invented_tomorrow.Tensor") is Class.REFUSED


@pytest.mark.parametrize("lists", LISTS)
def test_every_list_is_sorted_and_names_nothing_twice(lists: dict[str, str]) -> None:
    for each in lists.values():
        assert each.split() == sorted(each.split())
    assert len(set(named(lists))) == len(named(lists))


@pytest.mark.parametrize("lists", LISTS)
def test_no_name_is_stale(lists: dict[str, str]) -> None:
    packets = {each.partition(".")[0] for each in exactness.operators()}
    known = {*packets, *exactness.operators()}
    assert [each for each in named(lists) if each not in known] == []


def test_no_overload_is_both_exact_and_for_integers() -> None:
    assert not set(named(EXACT)) & set(named(INTEGERS))


def test_a_name_with_an_overload_counts_before_one_without() -> None:
    assert exactness.listed("sum.dim_IntList") is Class.INTEGERS
    assert exactness.listed("sum") is Class.COMPOSITE
    assert exactness.listed("stack.out") is Class.EXACT
    assert exactness.listed("mode.values") is Class.REFUSED  # it calls mode's kernel directly


def test_what_torch_generated_is_said_by_torch_itself() -> None:
    """The rule for `out=` forms holds for torch's own table, and 77 that were tried one by one."""
    torchgen = pytest.importorskip("torchgen")
    yaml = pytest.importorskip("yaml")
    path = Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml"
    table = yaml.safe_load(path.read_text())
    made = {one.strip() for each in table for one in each.get("autogen", "").split(",")}
    by_rule = [each for each in exactness.operators() if exactness.is_generated_out(each)]
    assert len([each for each in by_rule if each not in made]) < 80
    functional = next(heading for heading in COMPOSITE if "generator" in heading)
    assert set(COMPOSITE[functional].split()) <= made


def test_list_operators_call_the_operator_of_each_tensor() -> None:
    names = list(filter(exactness.is_for_lists, exactness.operators()))
    names = [each for each in names if not each.endswith("out")]
    assert len(names) > 120
    calls = []
    for each in names:
        arguments = overload_of(each)._schema.arguments
        needed = [one for one in arguments if not one.has_default_value()]
        calls.append((each, [argument_of(str(one.real_type), each) for one in needed]))
    with everything_inexact_raising():
        for name, given in calls:
            if any(each in name for each in EXACT_FOR_LISTS):
                continue
            with pytest.raises(Reached):
                overload_of(name)(*given)


def test_exact_operators_do_not_call_inexact_ones() -> None:
    a, b = torch.tensor(VALUES), torch.tensor(VALUES).t()
    index = torch.tensor([2, 0])
    with everything_inexact_raising():
        torch.cat([a, b])
        torch.stack([a, b]).unbind()
        a.index_select(0, index)
        torch.where(a > b, a, b)
        a.gather(1, torch.zeros(3, 1, dtype=torch.int64))[0, 0].item()
        torch.empty(3).fill_(2).view(3, 1).expand(3, 4).T.narrow(0, 0, 1)
        a.masked_fill_(a.isnan(), 0.0).floor().ne(b).any().logical_not()


def test_a_single_inexact_step_is_caught_within_composites() -> None:
    a = torch.tensor(VALUES)
    with everything_inexact_raising():
        for function in (
            lambda: torch.nn.functional.linear(a, a),
            lambda: a.std(),
            lambda: torch.nn.functional.cosine_similarity(a, a),
            lambda: torch.einsum("ij,jk->ik", a, a),
            lambda: torch.hann_window(8),
            lambda: torch.nn.functional.binary_cross_entropy_with_logits(a, a),
            lambda: torch.logsumexp(a, 0),
            lambda: torch.randn(3),
            lambda: a.clone(),
            lambda: a.to(torch.bfloat16),
        ):
            with pytest.raises(Reached):
                function()
