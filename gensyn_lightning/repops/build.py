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
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
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
        sources = sorted([*SOURCES.glob("*.c"), *made], key=lambda each: -each.stat().st_size)
        flags = [f"-I{SOURCES}", f"-I{folder}"]
        objects = [str(Path(folder) / f"{each.stem}.o") for each in sources]
        _run_all(
            [*command, *flags, "-c", str(source), "-o", made_of]
            for source, made_of in zip(sources, objects, strict=True)
        )
        target = into / name_of(isa)
        partial = target.with_suffix(".partial")
        _run([*command, "-shared", "-s", *objects, "-o", str(partial), "-lm"])
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


def _run_all(lines: Iterable[list[str]]) -> None:
    """Run commands, as many at a time as there are cores; after one that fails, start no more."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(_run, each) for each in lines]
        try:
            for each in running:
                each.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _run(line: list[str]) -> None:
    subprocess.run(line, check=True)  # noqa: S603  (the user's own compiler)


if __name__ == "__main__":
    main()
