from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable

import pytest
import torch

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import exactness, refusal, registry


class Inner(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


class Outer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Identity(), Inner())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class BadBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: object, grad: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(grad)


def message_of(function: object, *args: object) -> str:
    with registry.reproducible(), pytest.raises(NotReproducible) as caught:
        function(*args)  # type: ignore[operator]
    return str(caught.value)


def test_a_refusal_names_operator_type_line_and_what_to_do() -> None:
    x = torch.ones(3, dtype=torch.float64)
    with registry.reproducible(), pytest.raises(NotReproducible) as caught:
        torch.special.bessel_j0(x)
    text = str(caught.value)
    assert "aten::special_bessel_j0 " in text
    assert "float64" in text
    first = test_a_refusal_names_operator_type_line_and_what_to_do.__code__.co_firstlineno
    assert f"at {__file__}:{first + 3}" in text
    assert caught.value.hint


def test_a_refusal_names_the_module_under_the_outermost_one() -> None:
    text = message_of(Outer(), torch.ones(3))
    assert "in module Outer.body.1 (Inner)" in text
    assert f"{__file__}:{Inner.forward.__code__.co_firstlineno + 1}" in text


def test_a_refusal_in_the_backward_pass_says_so() -> None:
    x = torch.ones(3, requires_grad=True)
    with registry.reproducible():
        y = BadBackward.apply(x)
        text = message_of(y.backward, torch.ones(3))
    assert "in the backward pass (BadBackwardBackward)" in text


def test_anomaly_mode_adds_the_forward_call() -> None:
    x = torch.ones(3, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.set_detect_anomaly(True, check_nan=False):
            y = BadBackward.apply(x)
            text = message_of(y.backward, torch.ones(3))
    assert "of the forward call" in text
    assert "BadBackward.apply(x)" in text


def test_hints_go_by_family() -> None:
    assert "dense" in message_of(torch.ones(2, 2).to_sparse)
    assert "transform" in message_of(torch.fft.fft, torch.ones(4))
    assert "eigh" in message_of(torch.linalg.eig, torch.ones(2, 2))


def test_an_operator_for_integers_is_refused_for_numbers_with_fractions() -> None:
    assert "__lshift__.Scalar" in exactness.guarded()
    with registry.reproducible():
        assert (torch.tensor([3, 1]) << 2).tolist() == [12, 4]
        with pytest.raises(NotReproducible, match="lshift"):
            torch.ones(2) << 2


def test_operators_outside_of_aten_are_refused() -> None:
    found = refusal.foreign()
    assert "quantized::embedding_byte" in found
    assert not [each for each in found if each.startswith(("aten::", "c10d::"))]


def test_an_operator_registered_from_python_is_left_alone() -> None:
    @torch.library.custom_op("gensyn_test::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x, x])

    assert not [each for each in refusal.foreign() if each.startswith("gensyn_test::")]
    with registry.reproducible():
        assert twice(torch.ones(1)).shape == (2, 1)


def test_nothing_is_left_behind_by_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(target: object) -> list[object]:
        raise RuntimeError("half way")

    with monkeypatch.context() as patch:
        patch.setattr(refusal, "install", failing)
        with pytest.raises(RuntimeError, match="half way"), registry.reproducible():
            pass
    torch.special.bessel_j0(torch.ones(1))
    with pytest.raises(ZeroDivisionError), registry.reproducible():
        raise ZeroDivisionError
    torch.special.bessel_j0(torch.ones(1))
    with registry.reproducible(), pytest.raises(NotReproducible):
        torch.special.bessel_j0(torch.ones(1))


def test_blocks_nest_and_overlap_between_threads() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with registry.reproducible():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with registry.reproducible():
        with registry.reproducible():
            pass
        thread.start()
        inside.wait(10)
    with pytest.raises(NotReproducible):
        torch.special.bessel_j0(torch.ones(1))
    leave.set()
    thread.join()
    torch.special.bessel_j0(torch.ones(1))


def test_other_threads_are_refused_too() -> None:
    caught: list[Exception] = []

    def other() -> None:
        try:
            torch.special.bessel_j0(torch.ones(1))
        except NotReproducible as error:
            caught.append(error)

    with registry.reproducible():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(caught) == 1


def test_refusals_are_installed_in_a_moment() -> None:
    with registry.reproducible():
        pass
    library = torch.library.Library("aten", "IMPL")
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        others = refusal.install(library)
    taken = time.perf_counter() - start
    for each in [library, *others]:
        each._destroy()
    assert taken < 2  # 0.05 s on a quiet machine


def test_all_that_is_not_covered_can_be_noted_in_one_run() -> None:
    x = torch.ones(3)
    with refusal.noting() as noted, registry.reproducible():
        torch.special.bessel_j0(x)
        torch.special.bessel_j1(x)
    assert ["bessel_j0" in str(noted[0]), "bessel_j1" in str(noted[1])] == [True, True]
    with registry.reproducible(), pytest.raises(NotReproducible):
        torch.special.bessel_j0(x)


@pytest.mark.filterwarnings("ignore:Sparse")
def test_tensors_of_other_formats_are_refused_by_name() -> None:
    dense = torch.randn(3, 3)
    sparse = dense.to_sparse()
    assert "aten::mm: sparse tensors have no" in message_of(lambda: sparse @ dense)
    assert "aten::add_.Tensor: sparse" in message_of(lambda: torch.zeros(3, 3).add_(sparse))
    assert "aten::sin: sparse" in message_of(lambda: sparse.sin())
    bag = torch.nn.Embedding(5, 3, sparse=True)
    text = message_of(lambda: bag(torch.tensor([1, 2])).sum().backward())
    assert "nn.Embedding(sparse=False)" in text


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("angle", lambda: torch.angle(torch.complex(torch.ones(2), torch.ones(2)))),
        ("linalg_inv", lambda: torch.linalg.inv(torch.eye(3, dtype=torch.complex64))),
    ],
)
def test_what_a_composed_operator_refuses_names_it_and_the_line(
    name: str, call: Callable[[], object]
) -> None:
    text = message_of(call)
    assert f"aten::{name}" in text
    assert "called with complex64" in text
    assert f"at {__file__}:{call.__code__.co_firstlineno}" in text
    assert text.count("aten::") == 1
    with refusal.noting() as noted, registry.reproducible():
        found = call()
    assert str(noted[0]).startswith(f"aten::{name}")
    assert torch.equal(found, call())  # type: ignore[arg-type]


def test_what_an_operator_inside_of_a_composed_one_refuses_is_told_once() -> None:
    x = torch.ones(3, dtype=torch.complex64)
    text = message_of(torch.linalg.cross, x, x)
    assert text.count("aten::") == text.count(f"at {__file__}") == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.ones(3) * 1j,
        lambda: torch.ones(3) + 1j,
        lambda: torch.arange(3.0) ** 1j,
        lambda: torch.ones(3).to(torch.complex64),
        lambda: torch.fft.fft2(torch.ones(3, 3)).real,
    ],
)
def test_complex_numbers_are_refused_as_such(call: Callable[[], object]) -> None:
    text = message_of(call)
    assert "complex numbers have no reproducible definition" in text
    assert "imaginary parts in two real tensors" in text
    assert "Fourier" in text
    with refusal.noting() as noted, registry.reproducible():
        call()
    assert noted


def test_what_was_noted_once_is_refused_and_noted_again() -> None:
    x = torch.ones(3)
    with refusal.noting() as noted, registry.reproducible():
        for _ in range(2):
            x.to(torch.complex64)
    assert len(noted) == 2
    message_of(x.to, torch.complex64)
