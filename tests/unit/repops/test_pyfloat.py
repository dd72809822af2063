"""Python's arithmetic has the same bits on every machine inside `pinned`, and its own outside."""

from __future__ import annotations

import cmath
import ctypes
import functools
import math
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import cos as taken_early
from typing import Any

import pytest
import torch

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import correct, library, pyfloat, registry

SEED = int(os.environ.get("GENSYN_TEST_SEED", "20260714"))
KERNELS = [pytest.param(library.load, id="kernels"), pytest.param(lambda: None, id="reference")]
VALUES: tuple[Any, ...] = (
    *(0.0, -0.0, 0.3, 1.0, -1.0, 1.5, -2.5, 3.0, 1e-320, 1e300, -1e300, 710.0, 800.0, -800.0),
    *(math.inf, -math.inf, math.nan, 3, -2, 10**400, -(10**400), True, "0.3", None, 1j),
)
Outcome = tuple[str, Any]


class Float:
    """What is no number but can be made one."""

    def __float__(self) -> float:
        return 0.75


class Index:
    """What is no number but can stand for a whole one."""

    def __index__(self) -> int:
        return 3


class Early(float):
    """A kind of float that was made before anything was pinned."""


def moved(name: str, by: int) -> Any:
    """Return a function of C's that is wrong in the last place, as another library's may be."""
    double = ctypes.c_double
    kind = ctypes.CFUNCTYPE(double, *[double] * (2 if name in pyfloat.TWO else 1))
    right = getattr(correct, name)

    def wrong(*args: float) -> float:
        value: float = right(*args)
        return value if value in (0.0, 1.0) else math.nextafter(value, math.inf * by)

    return kind(wrong)


@contextmanager
def another_machine(by: int) -> Iterator[None]:
    """Have this process use a C library other than its own."""
    functions = {name: moved(name, by) for name in (*pyfloat.ONE, *pyfloat.TWO)}
    addresses = {name: pyfloat._address(each) for name, each in functions.items()}
    ours = pyfloat._addresses(library.load())
    pins = pyfloat._Pins({**ours, **addresses})
    try:
        pins.fill()
        yield
    finally:
        pins.empty()


def outcome(call: Callable[..., Any], *args: Any) -> Outcome:
    try:
        return "value", call(*args)
    except Exception as error:
        return type(error).__name__, error.args


def same(one: Outcome, other: Outcome) -> bool:
    """Say whether two outcomes are equal but for the last places of a number."""
    (kind, a), (other_kind, b) = one, other
    if kind != other_kind or type(a) is not type(b):
        return False
    if kind != "value" or isinstance(a, int):
        return bool(a == b)
    if isinstance(a, complex):
        return same(("value", a.real), ("value", b.real)) and same(
            ("value", a.imag), ("value", b.imag)
        )
    if not math.isfinite(a):
        return repr(a) == repr(b)
    return math.copysign(1, a) == math.copysign(1, b) and math.isclose(a, b, rel_tol=1e-13)


def calls() -> Iterator[tuple[Callable[..., Any], tuple[Any, ...]]]:
    given = (*VALUES, Float(), Index())
    for name in (*pyfloat.ONE, "gamma", "lgamma"):
        yield from ((getattr(math, name), (x,)) for x in given)
        yield getattr(math, name), ()
        yield getattr(math, name), (1.0, 2.0, 3.0)
    for function in (math.pow, math.atan2, math.hypot, math.log, pow):
        yield from (
            (function, (x, y))
            for x in given
            for y in given
            if not (isinstance(x, int) and isinstance(y, int) and abs(y) > 9)  # exact, and endless
        )
    numbers = [x for x in VALUES if isinstance(x, float | int) and abs(x) < 1e6]
    yield from ((pow, (x, y, 5)) for x in numbers for y in numbers)
    yield from ((pow, (complex(x, 1), y)) for x in numbers for y in numbers)
    for name in ("exp", "log", "sqrt", "sin", "tanh", "atanh", "acos", "phase", "polar"):
        if name != "polar":
            yield from ((getattr(cmath, name), (x,)) for x in given)
    yield from ((abs, (complex(x, y),)) for x in numbers for y in numbers)
    yield from ((math.dist, ([x, y], [y, x])) for x in numbers for y in numbers)


@pytest.mark.parametrize("kernels", KERNELS)
def test_errors_and_kinds_of_result_are_python_s_own(
    kernels: Callable[[], library.Library | None],
) -> None:
    given = list(calls())[:: 1 if kernels() else 11]
    before = [outcome(function, *args) for function, args in given]
    with pyfloat.pinned(kernels()):
        inside = [outcome(function, *args) for function, args in given]
    for (function, args), one, other in zip(given, before, inside, strict=True):
        assert same(one, other), (function, args, one, other)
    assert {kind for kind, _ in before} > {"ValueError", "OverflowError", "ZeroDivisionError"}


@pytest.mark.parametrize("kernels", KERNELS)
def test_every_function_rounds_correctly(kernels: Callable[[], library.Library | None]) -> None:
    source = random.Random(SEED)
    for name in pyfloat.ONE:
        ours = getattr(correct, name)
        given = [source.random() + (name == "acosh") for _ in range(40)]
        want = [ours(x) for x in given]
        with pyfloat.pinned(kernels()):
            assert [getattr(math, name)(x) for x in given] == want, (SEED, name)


@pytest.mark.parametrize("kernels", KERNELS)
def test_powers_round_correctly_however_they_are_written(
    kernels: Callable[[], library.Library | None],
) -> None:
    source = random.Random(SEED)
    given = [(source.uniform(0, 9), source.uniform(-9, 9)) for _ in range(60)]
    want = [correct.pow(x, y) for x, y in given]
    tenths = [correct.pow(10.0, float(-n)) for n in range(60)]
    with pyfloat.pinned(kernels()):
        assert [x**y for x, y in given] == want
        assert [pow(x, y) for x, y in given] == want
        assert [math.pow(x, y) for x, y in given] == want
        assert [float.__pow__(x, y) for x, y in given] == want
        assert [y.__rpow__(x) for x, y in given] == want
        assert [Early(x) ** Early(y) for x, y in given] == want
        assert [10**-n for n in range(60)] == tenths
        for x, y in given:
            power = x
            power **= y
            assert power == correct.pow(x, y)


def test_what_was_taken_from_math_before_is_pinned_too() -> None:
    partial = functools.partial(math.cos)
    with another_machine(1):
        assert taken_early(0.3) == partial(0.3) != correct.cos(0.3)
        with pyfloat.pinned(library.load()):
            assert taken_early(0.3) == partial(0.3) == correct.cos(0.3)
        assert taken_early(0.3) != correct.cos(0.3)


def test_outside_everything_is_as_before() -> None:
    source = random.Random(SEED)
    given = [source.uniform(0.1, 20) for _ in range(300)]

    def computed() -> list[float]:
        return [f(x) for x in given for f in (math.exp, math.log, taken_early, lambda x: x**0.3)]

    before = computed()
    with pyfloat.pinned(library.load()):
        inside = computed()
    assert computed() == before
    assert inside == [
        f(x)
        for x in given
        for f in (correct.exp, correct.log, correct.cos, lambda x: correct.pow(x, 0.3))
    ]


def drawn() -> list[float]:
    source = random.Random(SEED)
    kinds: tuple[Callable[[], float], ...] = (
        lambda: source.gauss(0, 1),
        lambda: source.normalvariate(0, 1),
        lambda: source.expovariate(2.0),
        lambda: source.lognormvariate(0, 1),
        lambda: source.vonmisesvariate(0, 1),
        lambda: source.gammavariate(2, 1),
        lambda: source.betavariate(2, 3),
        lambda: source.weibullvariate(2, 3),
    )
    normal = statistics.NormalDist(1, 2)
    return [each() for _ in range(50) for each in kinds] + [
        f(x / 40) for x in range(1, 40) for f in (normal.pdf, normal.cdf, normal.inv_cdf)
    ]


def computed_by_python() -> list[Any]:
    return [
        *drawn(),
        *(math.gamma(x / 7) for x in range(1, 90)),
        *(math.lgamma(x / 7) for x in range(1, 90)),
        *(math.log(10**n + 1) for n in range(300, 400)),
        *(complex(x, 1) ** 0.3 for x in range(50)),
        *(cmath.exp(complex(x, x)) for x in range(50)),
        *(abs(complex(x, 1)) for x in range(50)),
        *(cmath.asin(complex(x, x)) for x in range(50)),
    ]


def test_what_python_makes_of_these_functions_depends_on_no_library() -> None:
    with another_machine(1):
        assert computed_by_python() != computed_by_python_on_another(-1)
        with pyfloat.pinned(library.load()):
            one = computed_by_python()
    with another_machine(-1), pyfloat.pinned(library.load()):
        assert computed_by_python() == one


def computed_by_python_on_another(by: int) -> list[Any]:
    with another_machine(by):
        return computed_by_python()


def weights(schedule: Callable[[int], float]) -> torch.Tensor:
    """Train four weights for thirty steps by a schedule."""
    weight = torch.nn.Parameter(torch.tensor([0.1, -0.7, 1.3, 2.9]))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    for _ in range(30):
        optimizer.zero_grad()
        (weight * weight).sum().backward()
        optimizer.step()
        scheduler.step()
    return weight.detach()


SCHEDULES: Mapping[str, Callable[[int], float]] = {
    "cosine": lambda step: 0.5 * (1 + taken_early(math.pi * step / 30)),
    "power": lambda step: 0.97**step + 1e-3 * (step + 1) ** -0.5,
    "exponential": lambda step: math.exp(-step / 9.0),
}


def rates_of(schedule: Callable[[int], float]) -> list[float]:
    return [schedule(step) * 0.1 for step in range(30)]


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_cannot_carry_another_library_s_bits_into_a_weight(name: str) -> None:
    schedule = SCHEDULES[name]
    with another_machine(1):
        above = rates_of(schedule)
    with another_machine(-1):
        below = rates_of(schedule)
        assert above != below, "the rates themselves differ where nothing is pinned"
        with registry.reproducible():
            rates, found = rates_of(schedule), weights(schedule)
    with another_machine(1), registry.reproducible():
        assert rates_of(schedule) == rates
        assert torch.equal(weights(schedule), found)
    with registry.reproducible():
        assert torch.equal(weights(schedule), found)


def test_unpinned_the_last_bit_of_a_cosine_reaches_a_weight() -> None:
    """A rate that lies next to the middle between two binary32 falls to either side of it."""
    middles = (0.5 + n * 2.0**-24 + 2.0**-25 for n in range(1, 1000))
    angle = next(x for x in map(correct.acos, middles) if is_near_tie(correct.cos(x)))

    def step() -> torch.Tensor:
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=1.0)
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: taken_early(angle))
        weight.grad = torch.ones(1)
        optimizer.step()
        return weight.detach()

    with another_machine(1):
        above = step()
    with another_machine(-1):
        below = step()
    assert not torch.equal(above, below)
    found = []
    for by in (1, -1):
        with another_machine(by), registry.reproducible():
            found.append(step())
    assert torch.equal(*found)


def is_near_tie(x: float) -> bool:
    """Say whether the neighbours of x round to unlike binary32."""
    low, high = (ctypes.c_float(math.nextafter(x, end)).value for end in (0.0, 2.0))
    return low != high


def test_a_module_that_is_imported_later_is_pinned_too() -> None:
    code = """
import sys
from gensyn_lightning.repops import correct, library, pyfloat
assert "cmath" not in sys.modules
with pyfloat.pinned(library.load()):
    import cmath
    found = [cmath.exp(n / 7).real for n in range(500)]
assert found == [correct.exp(n / 7) for n in range(500)]
"""
    if "cmath" in sys.builtin_module_names:
        pytest.skip("this Python has it built in")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_python_that_calls_its_own_functions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyfloat, "_reached", [])
    monkeypatch.setattr(pyfloat, "_CALLS", {**pyfloat._CALLS, "cos": lambda: 0.5})
    before = math.cos(0.3)
    refused = pytest.raises(NotReproducible, match="cos cannot be replaced")
    with refused, pyfloat.pinned(library.load()):
        pass
    assert math.cos(0.3) == before


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyfloat.platform, "system", lambda: "Darwin")
    refused = pytest.raises(NotReproducible, match="only be replaced on Linux")
    with refused, pyfloat.pinned(None):
        pass
