"""Which arithmetic a program runs on, and which machines compute the same bits by it.

`repops-1` is the same on every machine. `native` is stock torch, whose bits change with CPU, build
and library settings: a task then stays among machines of one class, which `native:` names. The
number of threads belongs to that class too; it is pinned by the program's manifest.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.protocol.digest import digest_of
from gensyn_lightning.repops import VERSION

REPOPS, NATIVE = VERSION, "native"
ARITHMETICS = (REPOPS, NATIVE)

SETTINGS = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_DEBUG_CPU_TYPE",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
)
_CPU_LINES = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features")


def version_of(arithmetic: str) -> str:
    """Return what a commitment says of a program's arithmetic on this machine."""
    return native_version() if arithmetic == NATIVE else arithmetic


@cache
def native_version() -> str:
    """Return `native:` and 16 hexadecimal digits that name this machine's class."""
    return "native:" + digest_of(json_bytes(machine())).hex()[:16]


def machine() -> dict[str, Any]:
    """Return everything the class is made of, as JSON."""
    import numpy
    import torch

    return {
        "torch": torch.__version__,
        "build": torch.__config__.show(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "numpy": numpy.__version__,
        "libc": " ".join(platform.libc_ver()),
        "cpu": _cpu(),
        "settings": {name: os.environ.get(name, "") for name in SETTINGS},
    }


def _cpu() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {"machine": platform.machine(), "processor": platform.processor()}
    first = path.read_text().split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    found = {name.strip(): value.strip() for name, _, value in pairs}
    return {"machine": platform.machine()} | {
        name: " ".join(sorted(found[name].split()))
        if name in ("flags", "Features")
        else found[name]
        for name in _CPU_LINES
        if name in found
    }
