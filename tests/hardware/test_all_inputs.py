"""Functions of one binary32, for all 2^32 of them: the bits of the definition, the stated error."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gensyn_lightning.repops import library
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.library import Library
from gensyn_lightning.repops.mapping import map_elements
from gensyn_lightning.repops.plan import Plan
from gensyn_lightning.repops.programs import all_definitions
from gensyn_lightning.repops.word import Definition

sys.path.insert(0, str(Path(__file__).parent))
from scalar_c import compiled

FUNCTIONS = {
    each.name: each for each in all_definitions() if each.kinds == "f" and each.results == "f"
}
BLOCK = 1 << 20
SHORT_EVERY = 509  # blocks between those that the short form takes
# What C's own functions of binary64 say is right, of an x that is a binary32.
EXACT = {name: f"{name}(x)" for name in ("acos", "acosh", "asin", "asinh", "atan", "atanh")}
EXACT |= {name: f"{name}(x)" for name in ("cos", "cosh", "erf", "erfc", "exp", "exp2", "expm1")}
EXACT |= {name: f"{name}(x)" for name in ("log", "log10", "log1p", "log2", "sin", "sinh", "tan")}
EXACT |= {"tanh": "tanh(x)", "sigmoid": "1 / (1 + exp(-x))", "silu": "x / (1 + exp(-x))"}
EXACT |= {"rsqrt_f": "1 / sqrt(x)", "square_root_f": "sqrt(x)", "reciprocal_f": "1 / x"}
EXACT |= {"root_f": "sqrt(x)", "reciprocal_of_sum_f": "1 / x", "log_of_sum_f": "log(x)"}
EXACT |= {"entropy": "-x * log(x)", "square_f": "x * x"}
EXACT |= {"gelu": "0.5 * x * erfc(-x * M_SQRT1_2)", "mish": "x * tanh(log1p(exp(x)))"}
EXACT["gelu_tanh"] = "x / (1 + exp(-2 * M_2_SQRTPI * M_SQRT1_2 * (x + 0.044715 * x * x * x)))"
# Only where the docstring states units; elsewhere these cross 0.
EXACT["logit"] = "fabs(x - 0.5) > 0.25 ? log(x / (1 - x)) : 0"
EXACT["lgamma"] = "x > -0.5 ? lgamma(x) : 0"
EXACT["sinc"] = (
    "x == 0 ? 1 : fabs(x) >= 0x1p24 ? 0"
    " : sin(M_PI * (x - rint(x))) * (fmod(rint(x), 2) ? -1 : 1) / (M_PI * x)"
)
STATED = re.compile(r"[Aa]t most ([\d.]+) units?")


class Kernel:
    """The compiled kernel of a function, for a block of inputs."""

    def __init__(self, kernels: Library, definition: Definition) -> None:
        plan = Plan()
        result, read = plan.new((BLOCK,), Dtype.F32), plan.new((BLOCK,), Dtype.F32)
        map_elements(plan, definition, [result], [read], [])
        self._kernels, self._compiled = kernels, kernels.compile(plan)
        self._places = np.arange(BLOCK, dtype=np.uint32)

    def __call__(self, first: int) -> np.ndarray:
        """Return the bits of the results for the block of inputs that begins with `first`."""
        inputs = self._places + np.uint32(first)
        made = np.empty(BLOCK, np.uint32)
        base = (ctypes.c_void_p * 2)(made.ctypes.data, inputs.ctypes.data)
        assert not self._kernels.run(ctypes.byref(self._compiled), base, (ctypes.c_uint64 * 1)(0))
        return made


def examine(name: str, folder: Path, firsts: range) -> float:
    """Compare every block with the definition; return the worst error in units, where known."""
    definition, kernels = FUNCTIONS[name], library.load()
    if kernels is None:
        pytest.skip("there are no kernels on this machine")
    [program] = definition.trace()
    checker = compiled(program, EXACT.get(name, "x"), folder)
    kernel = Kernel(kernels, definition)

    def block(first: int) -> float:
        found = kernel(first)
        at = checker.check(first, BLOCK, found.ctypes.data)
        assert at == BLOCK, f"{name} of {first + at:#010x} is {int(found[at]):#010x}"
        return float(checker.worst(first, BLOCK, found.ctypes.data)) if name in EXACT else 0.0

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        worst = max(pool.map(block, firsts))
    print(f"{name}: {worst:.4f} units" if name in EXACT else f"{name}: as defined")
    return worst


def stated(name: str) -> float:
    """Return how many units a function's docstring says it is off at most."""
    found = STATED.search(FUNCTIONS[name].function.__doc__ or "")
    return float(found.group(1)) if found else 0.5001


def test_conversions_of_the_checker_are_c_s_own(tmp_path: Path) -> None:
    [program] = FUNCTIONS["copy_f"].trace()
    bits = np.random.default_rng(11).integers(0, 1 << 64, BLOCK, np.uint64)
    sizes = np.arange(BLOCK, dtype=np.uint64) % np.uint64(64)
    powers = np.float64(2) ** np.arange(66)
    near = (np.nextafter(powers, 0), powers, np.nextafter(powers, np.inf))
    near_bits = (each.view(np.uint64) for each in near)
    ties = (bits & np.uint64(0x1FFFFFF) | np.uint64(0x1000001)) << (sizes % np.uint64(40))
    words = np.concatenate([bits, bits >> sizes, ties, ties - 1, ties + 1, *near_bits])
    words = np.concatenate([words, ~words, words ^ np.uint64(1 << 63)])
    assert not compiled(program, "x", tmp_path).conversions(words.ctypes.data, len(words))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_blocks_of_inputs(name: str, tmp_path: Path) -> None:
    assert examine(name, tmp_path, range(0, 1 << 32, BLOCK * SHORT_EVERY)) <= stated(name)


@pytest.mark.hardware
@pytest.mark.parametrize("name", FUNCTIONS)
def test_all_inputs(name: str, tmp_path: Path) -> None:
    assert examine(name, tmp_path, range(0, 1 << 32, BLOCK)) <= stated(name)
