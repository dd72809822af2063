"""NumPy's elementary functions round correctly inside `replaced`, whatever the CPU and layout."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from gensyn_lightning.repops import correct, library, numpy_loops

SEED = int(os.environ.get("GENSYN_TEST_SEED", "20260714"))
KERNELS = [pytest.param(library.load, id="kernels"), pytest.param(lambda: None, id="reference")]
Loader = Callable[[], library.Library | None]


def expected(name: str, *arrays: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    function = getattr(correct, numpy_loops._NAMES[name])
    return np.array([function(*each) for each in zip(*map(np.ravel, arrays), strict=True)])


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", numpy_loops._NAMES)
def test_each_function_of_each_width_rounds_correctly(name: str, kernels: Loader) -> None:
    source = np.random.default_rng(SEED)
    ufunc: np.ufunc = getattr(np, name)
    given = [source.random(24) + (name == "arccosh") for _ in range(ufunc.nin)]
    widths = (np.float64,) if name == "float_power" else (np.float64, np.float32, np.float16)
    for width in widths:
        arrays = [each.astype(width) for each in given]
        double = expected(name, *(each.astype(np.float64) for each in arrays))
        want = double.astype(np.float32).astype(width) if width != np.float64 else double
        with numpy_loops.replaced(kernels()):
            found = ufunc(*arrays)
        assert found.dtype == width
        assert found.tobytes() == want.tobytes(), SEED


@pytest.mark.parametrize("kernels", KERNELS)
def test_strides_and_places_to_write_to_do_not_matter(kernels: Loader) -> None:
    source = np.random.default_rng(SEED)
    given = source.random((6, 8))
    want = expected("exp", given).reshape(6, 8)
    with numpy_loops.replaced(kernels()):
        assert np.array_equal(np.exp(given.T), want.T)
        assert np.array_equal(np.exp(given[::-2, ::3]), want[::-2, ::3])
        into = np.zeros((6, 16))
        np.exp(given, out=into[:, ::2])
        assert np.array_equal(into[:, ::2], want)
        assert not into[:, 1::2].any()
        inplace = given.copy()
        np.exp(inplace, out=inplace, where=np.arange(8) < 4)
        assert np.array_equal(inplace[:, :4], want[:, :4])
        assert np.array_equal(inplace[:, 4:], given[:, 4:])


def test_outside_numpy_is_as_before() -> None:
    given = np.random.default_rng(SEED).random(1000)
    before = np.tanh(given), given**0.3, np.log(given)
    with numpy_loops.replaced(library.load()):
        pass
    assert all(map(np.array_equal, before, (np.tanh(given), given**0.3, np.log(given))))


@pytest.mark.skipif(library.load() is None, reason="the reference warns of nothing")
def test_numpy_warns_of_what_it_always_warned_of() -> None:
    cases = {
        "divide by zero": lambda: np.log(np.zeros(2)),
        "invalid": lambda: np.arcsin(np.full(2, 3.0)),
        "overflow": lambda: np.exp(np.full(2, 1e6)),
        "divide": lambda: np.power(np.zeros(2), -1.0),
    }
    with numpy_loops.replaced(library.load()):
        for message, call in cases.items():
            with pytest.warns(RuntimeWarning, match=message):
                call()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.log(np.array([np.inf, np.nan, 1.0]))
            np.exp(np.array([-np.inf, np.inf, -1e6]))
            np.arctan2(0.0, 0.0)


CODE = """
import hashlib, sys
import numpy as np
from gensyn_lightning.repops import library, pyfloat
source, digest = np.random.default_rng(1), hashlib.sha256()
with pyfloat.pinned(library.load()):
    for kind in (np.float64, np.float32, np.float16):
        x = (source.random(3000) * 4 + 0.1).astype(kind)
        for each in (np.exp, np.log, np.sin, np.cos, np.tanh, np.arctan, np.log1p, np.cbrt):
            digest.update(each(x).tobytes())
        digest.update((x ** kind(1.7)).tobytes() + (x ** 3).tobytes())
        digest.update(np.array([each ** kind(0.3) for each in x[:99]]).tobytes())
        digest.update(np.logaddexp(x, x[::-1]).tobytes() + np.hypot(x, x[::-1]).tobytes())
    old = np.random.RandomState(1)
    digest.update(old.randn(999).tobytes() + source.normal(size=999).tobytes())
    digest.update(source.gamma(2, size=999).tobytes() + source.gumbel(size=999).tobytes())
    digest.update(np.fft.fft(source.random(64)).tobytes())
print(digest.hexdigest())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="for Linux")
def test_what_numpy_computes_does_not_depend_on_what_the_cpu_can_do() -> None:
    from gensyn_lightning.training.normal import ENVIRONMENT

    found = {
        subprocess.run(
            [sys.executable, "-c", CODE],
            env={**os.environ, **settings},
            check=True,
            capture_output=True,
        ).stdout
        for settings in ({}, ENVIRONMENT)
    }
    assert len(found) == 1
