"""Compiles the shim against the headers of the torch that is installed.

Needs a C++ compiler and nothing else: `CXX` names one. The result fits one torch and one version of
the sources, both of which its name says. `python -m gensyn_lightning.repops.shim.build` builds
it into the package, for a checkout; elsewhere it is built on first use into the user's cache.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import torch

from gensyn_lightning.repops.build import LIBRARIES, SOURCES

FOLDER = Path(__file__).parent
TORCH = Path(torch.__file__).parent
FLAGS = ["-O2", "-std=c++20", "-fPIC", "-fvisibility=hidden", "-w"]
COMPILERS = ("c++", "g++", "clang++")
SECONDS_MAX = 600


def compiler() -> list[str] | None:
    """Return the C++ compiler's command, or None where there is none."""
    if named := os.environ.get("CXX"):
        return shlex.split(named)
    return next(([each] for each in COMPILERS if shutil.which(each)), None)


def sources() -> list[Path]:
    """Return every file of ours that goes into the shim."""
    ours = [*FOLDER.glob("*.cpp"), *FOLDER.glob("*.h")]
    return [*sorted(ours), SOURCES / "plan.h", SOURCES / "repops.h"]


@cache
def name() -> str:
    """Return the file name of the shim for this torch and these sources."""
    digest = hashlib.sha256()
    for each in sources():
        digest.update(each.read_bytes())
    for word in (torch.__version__, torch.version.git_version, platform.machine(), *FLAGS):
        digest.update(f"\0{word}".encode())
    return f"libgensyn_shim-{digest.hexdigest()[:32]}.so"


def build(into: Path, command: list[str]) -> Path:
    """Compile the shim into folder `into` and return its path; raises `CalledProcessError`."""
    into.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=".shim-", dir=into)
    os.close(handle)
    try:
        subprocess.run(  # noqa: S603  (the user's own compiler)
            line(command, partial), check=True, capture_output=True, timeout=SECONDS_MAX
        )
        Path(partial).chmod(0o755)
        return Path(partial).replace(into / name())
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def line(command: list[str], target: str) -> list[str]:
    """Return the compiler's whole command line."""
    headers = (TORCH / "include", TORCH / "include" / "torch" / "csrc" / "api" / "include")
    abi = int(torch.compiled_with_cxx11_abi())
    return [
        *command,
        *FLAGS,
        f"-D_GLIBCXX_USE_CXX11_ABI={abi}",
        *(f"-isystem{each}" for each in headers),
        f"-I{SOURCES}",
        "-shared",
        str(FOLDER / "shim.cpp"),
        "-o",
        target,
        f"-L{TORCH / 'lib'}",
        "-ltorch_cpu",
        "-lc10",
    ]


def main() -> None:
    """Build the shim if it is not there and there is a compiler."""
    parser = argparse.ArgumentParser(prog="gensyn_lightning.repops.shim.build")
    parser.add_argument("--into", type=Path, default=LIBRARIES)
    options = parser.parse_args()
    command = compiler()
    if command is None:
        print("no C++ compiler: operators are dispatched from Python", file=sys.stderr)
    elif not (options.into / name()).exists():
        try:
            print(build(options.into, command), file=sys.stderr)
        except subprocess.CalledProcessError as error:
            sys.exit(error.stderr.decode(errors="replace"))


if __name__ == "__main__":
    main()
