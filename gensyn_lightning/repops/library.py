"""The compiled kernels: which build this machine takes, and plans in the form they are run in.

`GENSYN_ISA` forces an instruction set, `GENSYN_KERNELS` another folder of builds. Where there is no
build, `load` returns None and operators run by the reference: right, and slow.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.repops.plan import RANK_MAX, Call, Key, Plan, Scalar, WordSource
from gensyn_lightning.repops.word import double_bits, float_bits

FOLDER = Path(__file__).parent / "lib"
BASELINE = "x86-64-v2"
_I64 = ctypes.c_int64
_NEEDS = {
    "x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    "x86-64-v3": {"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"},
    BASELINE: {"sse4_2", "ssse3", "popcnt"},
}
_OPENMP = (
    "GOMP_parallel",
    "omp_get_max_threads",
    "omp_get_thread_num",
    "omp_get_num_threads",
    "omp_in_parallel",
)
_SOURCE_CONSTANT, _SOURCE_SCALAR, _SOURCE_KEY = range(3)


class _View(ctypes.Structure):
    _fields_ = (
        ("dtype", _I64),
        ("rank", _I64),
        ("size", _I64 * RANK_MAX),
        ("stride", _I64 * RANK_MAX),
    )


class _Layout(ctypes.Structure):
    _fields_ = (
        ("views", _I64),
        ("params", _I64),
        ("view", ctypes.POINTER(_View)),
        ("param", ctypes.POINTER(_I64)),
    )


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("argument", _I64),
        ("element", _I64),
        ("dtype", _I64),
        ("rank", _I64),
        ("size", _I64 * RANK_MAX),
        ("stride", _I64 * RANK_MAX),
    )


class _Word(ctypes.Structure):
    _fields_ = (
        ("source", _I64),
        ("argument", _I64),
        ("kind", _I64),
        ("value", ctypes.c_uint64),
    )


class _Call(ctypes.Structure):
    _fields_ = (
        ("run", ctypes.c_void_p),
        ("shape", _Layout),
        ("tensor", ctypes.POINTER(_I64)),
        ("byte_offset", ctypes.POINTER(_I64)),
        ("words", _I64),
    )


class CompiledPlan(ctypes.Structure):
    """A plan in C's form; `keep` holds on to everything it points at."""

    keep: list[Any]
    _fields_ = (
        ("tensors", _I64),
        ("calls", _I64),
        ("words", _I64),
        ("results", _I64),
        ("tensor", ctypes.POINTER(_Tensor)),
        ("call", ctypes.POINTER(_Call)),
        ("word", ctypes.POINTER(_Word)),
        ("result", ctypes.POINTER(_I64)),
    )


class Library:
    """One build of the kernels, loaded."""

    def __init__(self, path: Path, isa: str) -> None:
        self.path, self.isa = path, isa
        self._library = ctypes.CDLL(str(path))
        self._library.repops_program.restype = _I64
        self._library.repops_run.argtypes = (ctypes.c_void_p,) * 3
        self.run = self._library.repops_run
        self.run_address = ctypes.cast(self.run, ctypes.c_void_p).value or 0
        self._programs: dict[str, int] = {}

    def use_threads_of(self, openmp: ctypes.CDLL) -> None:
        """Share work out between the threads of an OpenMP runtime that is loaded already."""
        found = [ctypes.cast(getattr(openmp, each), ctypes.c_void_p) for each in _OPENMP]
        self._library.repops_use_openmp(*found)

    def address(self, symbol: str) -> int:
        """Return a function's address; raise `ConfigError` if this build lacks it."""
        try:
            function = getattr(self._library, symbol)
        except AttributeError:
            raise ConfigError(
                f"{self.path.name} has no kernel {symbol}",
                hint="build again: python -m gensyn_lightning.repops.build",
            ) from None
        return ctypes.cast(function, ctypes.c_void_p).value or 0

    def program(self, name: str) -> int:
        """Return the number of a scalar program."""
        if name not in self._programs:
            self._programs[name] = self._library.repops_program(name.encode())
        if self._programs[name] < 0:
            raise ConfigError(
                f"{self.path.name} has no program {name}",
                hint="build again: python -m gensyn_lightning.repops.build",
            )
        return self._programs[name]

    def compile(self, plan: Plan) -> CompiledPlan:
        """Return the plan in C's form."""
        words = [word for each in plan.calls for word in each.words]
        results = _numbered(plan.results)
        tensors = (_Tensor * len(plan.tensors))(*(_tensor(each) for each in plan.tensors))
        calls = (_Call * len(plan.calls))(*(self._call(each) for each in plan.calls))
        laid_words = (_Word * len(words))(*map(_word, words))
        numbers = _numbers(results)
        made = CompiledPlan(
            len(tensors), len(calls), len(words), len(results), tensors, calls, laid_words, numbers
        )
        made.keep = [tensors, calls, laid_words, numbers, plan]
        return made

    def _call(self, call: Call) -> _Call:
        views = (_View * len(call.views))(
            *(
                _View(each.dtype, each.rank, _padded(each.shape), _padded(each.strides))
                for each in call.views
            )
        )
        programs = [self.program(each.name) for each in call.programs]
        params = _numbers([*call.params, *programs])
        layout = _Layout(len(views), len(params), views, params)
        return _Call(
            self.address(call.kernel.symbol),
            layout,
            _numbers([each.slot for each in call.views]),
            _numbers([each.offset * each.dtype.itemsize for each in call.views]),
            len(call.words),
        )


@cache
def load() -> Library | None:
    """Return the best build for this machine, or None where there is none."""
    forced = os.environ.get("GENSYN_ISA", "")
    for isa in [forced] if forced else supported():
        path = _folder() / f"libgensyn_repops-{isa}.so"
        if path.exists():
            return Library(path, isa)
    if forced:
        raise ConfigError(
            f"there is no build of the kernels for {forced}",
            hint=f"python -m gensyn_lightning.repops.build {forced}",
        )
    return None


def another() -> Library | None:
    """Return a build other than the one `load` gives, or None; which one must make no difference.

    The oldest is left out, since it is some fifty times slower.
    """
    best = load()
    for isa in supported():
        path = _folder() / f"libgensyn_repops-{isa}.so"
        if best is not None and isa not in (best.isa, BASELINE) and path.exists():
            return Library(path, isa)
    return None


def _folder() -> Path:
    return Path(os.environ.get("GENSYN_KERNELS") or FOLDER)


def supported() -> list[str]:
    """Return the instruction sets this machine has, best first."""
    if platform.machine() in ("aarch64", "arm64"):
        return ["aarch64"]
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    flags = next((set(each.split()) for each in lines if each.startswith("flags")), set())
    return [isa for isa, needs in _NEEDS.items() if needs <= flags]


def word_of(source: WordSource, value: float) -> int:
    """Return a number as the word a call takes it as: a binary32 is rounded once."""
    if source.kind == "f":
        return float_bits(value)
    return double_bits(float(value)) if source.kind == "d" else int(value) % (1 << 64)


def _numbered(results: Sequence[Any]) -> list[int]:
    """Return the tensors' numbers; -1 is None, -2 - n a list of the n that follow."""
    made: list[int] = []
    for each in results:
        if isinstance(each, list | tuple):
            made += [-2 - len(each), *_numbered(each)]
        else:
            made.append(-1 if each is None else int(each.slot))
    return made


def _tensor(each: Any) -> _Tensor:
    argument, element = each.argument or (-1, -1)
    return _Tensor(
        argument, element, each.dtype, len(each.shape), _padded(each.shape), _padded(each.strides)
    )


def _word(each: WordSource) -> _Word:
    kind = ord(each.kind)
    if isinstance(each.source, Scalar):
        return _Word(_SOURCE_SCALAR, each.source.argument, kind, 0)
    if isinstance(each.source, Key):
        return _Word(_SOURCE_KEY, each.source.argument, kind, 0)
    return _Word(_SOURCE_CONSTANT, -1, kind, each.source)


def _padded(numbers: Sequence[int]) -> Any:
    if len(numbers) > RANK_MAX:
        raise ValueError(f"more than {RANK_MAX} dimensions")
    return (_I64 * RANK_MAX)(*numbers)


def _numbers(values: Sequence[int]) -> Any:
    return (_I64 * len(values))(*values)
