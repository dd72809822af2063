"""The runner's normal form: the surroundings every program meets, whoever runs it.

`ENVIRONMENT` is what a runner's process starts with, `enter` sets what can only be set inside it.
Loads torch only when entered, so that whoever starts runners need not.
"""

from __future__ import annotations

import ctypes
import locale
import os
import platform
import socket
import time
from collections.abc import Mapping
from types import MappingProxyType

from gensyn_lightning.errors import SandboxError
from gensyn_lightning.repops import VERSION as REPOPS

# NumPy and its OpenBLAS choose loops by what the CPU can do: here by what all of a kind can. Names
# that a version of NumPy does not know are passed over by it.
_ARRAYS = {
    "x86_64": {
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX F16C FMA3 AVX2 AVX512F AVX512CD AVX512_KNL "
        "AVX512_KNM AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "aarch64": {
        "NPY_DISABLE_CPU_FEATURES": "ASIMDHP ASIMDDP ASIMDFHM SVE",
        "OPENBLAS_CORETYPE": "ARMV8",
    },
}
ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "LANG": "C.UTF-8",
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
        "CUDA_VISIBLE_DEVICES": "",
        # Threads that wait by spinning starve the runners beside them: 215 s became 6 s.
        "OMP_WAIT_POLICY": "PASSIVE",
        "TERM": "dumb",
        "COLUMNS": "80",
        **_ARRAYS.get(platform.machine(), {}),
    }
)
THREADS_MAX = 256
_CLONE_NEWUTS = 0x04000000
_JUNK: list[object] = []


def enter(*, threads: int, arithmetic: str = REPOPS, perturb: int = 0, forks: bool = False) -> None:
    """Bring this process into the normal form; `perturb` changes what must not matter.

    `arithmetic` is one of `numerics.ARITHMETICS`. A process that `forks` gets no thread for now:
    whoever computes calls `start_threads`.
    Raises `SandboxError` when the process was not started with `ENVIRONMENT`'s hash seed.
    """
    if os.environ.get("PYTHONHASHSEED") != ENVIRONMENT["PYTHONHASHSEED"]:
        raise SandboxError(
            "this process hashes strings by a random seed",
            hint=f"start it with PYTHONHASHSEED={ENVIRONMENT['PYTHONHASHSEED']}",
        )
    os.environ.update(ENVIRONMENT)
    time.tzset()
    locale.setlocale(locale.LC_ALL, ENVIRONMENT["LC_ALL"])
    os.umask(0o022)
    _settle_torch(threads)
    _settle_arithmetic(arithmetic, perturb)
    if not forks:
        start_threads(threads)
    if perturb:
        _disturb(perturb)


def start_threads(threads: int) -> None:
    """Have torch compute with so many threads."""
    import torch

    torch.set_num_threads(threads)  # starts those of a pool


def set_variable(name: str, value: str) -> None:
    """Set an environment variable that the program was captured with."""
    os.environ[name] = value


def _settle_torch(threads: int) -> None:
    import torch

    from gensyn_lightning.repops import registry

    if not 1 <= threads <= THREADS_MAX:
        raise SandboxError(f"{threads} threads are not between 1 and {THREADS_MAX}")
    torch.get_num_threads()  # the first time, this sets it
    registry.openmp().omp_set_num_threads(threads)  # what torch answers from now on
    torch.use_deterministic_algorithms(True)
    torch.set_flush_denormal(False)
    torch.set_float32_matmul_precision("highest")
    # One convolution, one attention: which one oneDNN or SDPA picks depends on more than the input.
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.backends.cuda.enable_math_sdp(True)


def _settle_arithmetic(arithmetic: str, perturb: int) -> None:
    """Compute by reproducible operators, or by torch's own; a perturbed run takes other kernels."""
    from gensyn_lightning.repops import library, registry

    if arithmetic != REPOPS or perturb:
        registry.uninstall()  # the process this one was forked from may have put them there
    if arithmetic == REPOPS:
        registry.install(library.another() if perturb else None)


def _disturb(perturb: int) -> None:
    """Move the heap, so that addresses differ, and take another host name where that is allowed."""
    _JUNK.extend(bytearray(4096 + 64 * (each * perturb % 97)) for each in range(512))
    _JUNK.extend(object() for _ in range(997 * perturb))
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUTS) == 0:
        socket.sethostname(f"elsewhere-{perturb}")
