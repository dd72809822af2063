"""Functions of binary64 round correctly, in C and in whole numbers, wherever they are tried."""

from __future__ import annotations

import ctypes
import math
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import mpmath
import pytest

from gensyn_lightning.repops import correct, library
from gensyn_lightning.repops.pyfloat import ONE, TWO

SEED = int(os.environ.get("GENSYN_TEST_SEED", "20260714"))
FOLDER = Path(os.environ.get("GENSYN_KERNELS") or library.FOLDER)
BUILDS = [isa for isa in library.supported() if (FOLDER / f"libgensyn_repops-{isa}.so").exists()]
EXACT = {
    **{name: getattr(mpmath, name) for name in (*ONE, *TWO) if hasattr(mpmath, name)},
    "exp2": lambda x: mpmath.power(2, x),
    "log2": lambda x: mpmath.log(x, 2),
    "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
    "pow": mpmath.power,
}
DOMAIN: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("log", "log2", "log10"), (0, math.inf)),
    "log1p": (-1, math.inf),
    **dict.fromkeys(("asin", "acos", "atanh"), (-1, 1)),
    "acosh": (1, math.inf),
}
# Beyond these mpmath takes forever.
LARGEST = {
    **dict.fromkeys(("exp", "exp2", "expm1", "sinh", "cosh"), 1100),
    **dict.fromkeys(("erf", "erfc"), 40),
}
EDGES = (
    *(5e-324, 1.5e-323, 2.2e-308, 2.0**-1022, 1.7976931348623157e308, 2.0**53, 2.0**-54),
    *(1.0, 1 - 2.0**-53, 1 + 2.0**-52, 0.5, 2.0, 3.0, 8.0, 27.0, 1000.0, 1e22, 0.1),
    *(709.78, 710.4758, 745.13, 1023.5, 1074.5, 5.9, 6.1, 26.5, 27.2, 3.4999, 3.5, 19.1),
    *(
        math.pi / 4,
        math.pi / 2,
        math.pi,
        6381956970095103 * 2.0**797,
    ),  # the last: nearly a multiple
)


def bits(x: float) -> bytes:
    return b"nan" if math.isnan(x) else struct.pack("d", x)


def arguments(source: random.Random) -> Iterator[float]:
    for each in EDGES:
        yield from (each, -each)
    while True:
        yield struct.unpack("d", source.randbytes(8))[0]
        yield source.uniform(-1, 1) * 2.0 ** -source.randrange(60)
        yield 1 + source.uniform(-1, 1) * 2.0 ** -source.randrange(52)
        yield source.uniform(-800, 800)
        yield source.randrange(-300, 300) / 16


def rounded(x: mpmath.mpf) -> float:
    """Round to binary64, subnormal numbers included, which mpmath rounds twice."""
    sign, m, e, _ = x._mpf_
    if not m:
        return 0.0
    return math.copysign(correct.whole.nearest(int(m), e), -1.0 if sign else 1.0)


def compiled(isa: str, name: str) -> Callable[..., float]:
    loaded = ctypes.CDLL(str(FOLDER / f"libgensyn_repops-{isa}.so"))
    function = loaded[f"repops_double_{name}"]
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_double] * (2 if name in TWO else 1)
    return function


@pytest.mark.parametrize("name", ONE)
def test_a_function_rounds_correctly(name: str) -> None:
    low, high = DOMAIN.get(name, (-math.inf, math.inf))
    functions = [getattr(correct, name), *(compiled(isa, name) for isa in BUILDS)]
    source, tried = arguments(random.Random(SEED)), 0
    while tried < 150:
        x = next(source)
        if not low < x < high or abs(x) > LARGEST.get(name, math.inf):
            continue
        with mpmath.workprec(2400 if abs(x) < 1e-30 or abs(x) > 1e30 or name == "erfc" else 400):
            want = rounded(EXACT[name](mpmath.mpf(x)))
        if want == 0:
            want = math.copysign(want, x if name not in ("exp", "exp2", "erfc", "acos") else 1)
        for each in functions:
            assert bits(each(x)) == bits(want), (SEED, x.hex())
        tried += 1


def pairs(source: random.Random) -> Iterator[tuple[float, float]]:
    ones = arguments(source)
    while True:
        yield next(ones), next(ones)
        yield float(source.randrange(40)), source.randrange(-80, 80) / 4
        yield source.randrange(200) * 2.0**-1074, 2.0 ** source.randrange(12)
        yield 1 + source.randrange(-4, 5) * 2.0**-52, source.randrange(-64, 64) / 8


@pytest.mark.parametrize("name", TWO)
def test_a_function_of_two_rounds_correctly(name: str) -> None:
    functions = [getattr(correct, name), *(compiled(isa, name) for isa in BUILDS)]
    source, tried = pairs(random.Random(SEED)), 0
    while tried < 400:
        x, y = next(source)
        if not (math.isfinite(x) and math.isfinite(y)) or (name == "pow" and x <= 0):
            continue
        tried += 1
        if name == "pow" and abs(y * math.log2(x)) > 1080:
            want = math.inf if (x > 1) == (y > 0) else 0.0
        else:
            with mpmath.workprec(4500 if name != "pow" else 500):
                want = rounded(EXACT[name](mpmath.mpf(x), mpmath.mpf(y)))
        if want == 0 and name == "atan2":
            want = math.copysign(want, x)
        for each in functions:
            assert bits(each(x, y)) == bits(want), (SEED, x.hex(), y.hex())


@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_the_ends_of_the_line_are_the_same_everywhere(name: str) -> None:
    ends = (0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, math.inf, -math.inf, math.nan)
    given = [(x, y) for x in ends for y in ends] if name in TWO else [(x,) for x in ends]
    for isa in BUILDS:
        function = compiled(isa, name)
        for each in given:
            assert bits(function(*each)) == bits(getattr(correct, name)(*each)), each


def test_a_slope_between_two_subnormal_numbers_is_an_angle_below_it() -> None:
    for isa in BUILDS:
        assert compiled(isa, "atan2")(3 * 2.0**-1074, 2.0) == 2.0**-1074
    assert correct.atan2(3 * 2.0**-1074, 2.0) == 2.0**-1074


def test_powers_that_are_ties_go_to_the_even_number() -> None:
    x = 2.0**27 - 1  # its square has 54 bits, and so lies half-way
    for each in (correct.pow, *(compiled(isa, "pow") for isa in BUILDS)):
        assert each(x, 2.0) == x * x
        assert each(3.0, 34.0) == float(3**34)
        assert each(10.0, -5.0) == 1e-5
        assert each(2.0, -1074.0) == 5e-324
        assert each(2.0, -1075.0) == 0.0
