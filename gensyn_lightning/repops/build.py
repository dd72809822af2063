"""Compiles the kernels: one library for each instruction set, all of the same sources.

Needs a C compiler and nothing else: GCC 12 or Clang, or newer; `CC` names one.
`python -m gensyn_lightning.repops.build` builds what this kind of machine can run and is not built.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from gensyn_lightning.repops import generate
from gensyn_lightning.repops.programs import all_definitions

SOURCES = Path(__file__).parent / "csrc"
LIBRARIES = Path(__file__).parent / "lib"
MARCH = {
    # Slow whatever one does, and four times as long to compile if one does more.
    "x86-64-v2": ["-march=x86-64-v2", "-O1"],
    "x86-64-v3": ["-march=x86-64-v3"],
    "x86-64-v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    "aarch64": ["-mcpu=generic"],
}
FLAGS = [
    "-O3",
    "-std=gnu11",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-fPIC",
    "-Wall",
    "-Wextra",
    "-Wno-psabi",
    "-Wno-unused-parameter",  # one of several results may not need every input
]


def build(isa: str, into: Path, compiler: list[str] | None = None) -> Path:
    """Compile the library for one instruction set into folder `into` and return its path.

    Objects are compiled side by side, as many as there are cores. Raises `CalledProcessError`.
    """
    into.mkdir(parents=True, exist_ok=True)
    command = [*(compiler or shlex.split(os.environ.get("CC", "cc"))), *FLAGS, *MARCH[isa]]
    with tempfile.TemporaryDirectory() as folder:
        made = generate.write(Path(folder), all_definitions())
        objects = []
        running: list[subprocess.Popen[bytes]] = []
        for source in [*sorted(SOURCES.glob("*.c")), *made]:
            objects.append(str(Path(folder) / f"{source.stem}.o"))
            line = [*command, f"-I{SOURCES}", f"-I{folder}", "-c", str(source), "-o", objects[-1]]
            running.append(subprocess.Popen(line))  # noqa: S603  (the user's own compiler)
            if len(running) >= (os.cpu_count() or 1):
                _finish(running.pop(0))
        for each in running:
            _finish(each)
        target = into / name_of(isa)
        partial = target.with_suffix(".partial")
        line = [*command, "-shared", "-s", *objects, "-o", str(partial), "-lm"]
        subprocess.run(line, check=True)  # noqa: S603
        partial.replace(target)
    return target


def is_current(isa: str, into: Path) -> bool:
    """Return whether the library in a folder is newer than all it is made of."""
    library, here = into / name_of(isa), SOURCES.parent
    sources = [*SOURCES.iterdir(), *here.glob("*.py"), *here.glob("programs/*.py")]
    if not library.exists():
        return False
    built = library.stat().st_mtime
    return all(each.stat().st_mtime < built for each in sources)


def name_of(isa: str) -> str:
    """Return the file name of the library for an instruction set."""
    return f"libgensyn_repops-{isa}.so"


def native() -> list[str]:
    """Return the instruction sets that a build on this kind of machine covers."""
    if platform.machine() in ("aarch64", "arm64"):
        return ["aarch64"]
    return [each for each in MARCH if each.startswith("x86")]


def main() -> None:
    """Build the libraries named, or all for this kind of machine."""
    parser = argparse.ArgumentParser(prog="gensyn_lightning.repops.build")
    parser.add_argument("isa", nargs="*", help=" or ".join(MARCH))
    parser.add_argument("--into", type=Path, default=LIBRARIES)
    options = parser.parse_args()
    for isa in options.isa or native():
        if options.isa or not is_current(isa, options.into):
            print(build(isa, options.into), file=sys.stderr)


def _finish(process: subprocess.Popen[bytes]) -> None:
    if process.wait() != 0:
        raise subprocess.CalledProcessError(process.returncode, process.args)


if __name__ == "__main__":
    main()
