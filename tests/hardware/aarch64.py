"""An aarch64 machine in a folder: Debian's Python and the aarch64 torch wheel, under emulation.

Everything is fetched and unpacked below one folder; nothing is installed. Needs apt with Debian's
or Ubuntu's archives, pip and a few gigabytes of disk. The folder is kept between runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TORCH = "2.9.1"
ZIGLANG = "0.15.1"
NEEDS = ("numpy", "sympy", "networkx", "jinja2", "fsspec", "filelock", "typing_extensions")
TESTS = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux2014_aarch64", "manylinux_2_17_aarch64")
EMULATOR = "qemu-user-static"
SYSTEM = ("python3", "python3-minimal", "libgomp1", "libstdc++6", "libgcc-s1", "libc6", "zlib1g")
DONE = "ready.json"


def prepare(folder: Path) -> dict[str, str]:
    """Fetch and unpack what is missing; return the paths of emulator, root and packages."""
    ready = folder / DONE
    if ready.exists():
        return dict(json.loads(ready.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    root, packages = folder / "root", folder / "packages"
    apt = _Apt(folder / "apt")
    apt.update()
    unpack(apt.download([EMULATOR], "amd64"), folder / "emulator")
    unpack(apt.download(apt.closure(SYSTEM), "arm64"), root)
    python = sorted((root / "usr/bin").glob("python3.[0-9]*"))[0]
    install(packages, python.name.removeprefix("python3."))
    found = {
        "emulator": str(next((folder / "emulator").rglob("qemu-aarch64-static"))),
        "root": str(root),
        "python": str(python),
        "packages": str(packages),
        "torch": TORCH,
    }
    ready.write_text(json.dumps(found))
    return found


def command(found: dict[str, str], *words: str) -> list[str]:
    """Return the command line that runs Python there with these arguments."""
    return [found["emulator"], "-L", found["root"], found["python"], *words]


def environment(found: dict[str, str], source: Path) -> dict[str, str]:
    """Return the environment for it: its own packages, and ours from the working tree."""
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
    path = f"{source}{os.pathsep}{found['packages']}"
    return kept | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath}


def compiler(folder: Path) -> list[str]:
    """Return a compiler for aarch64: Clang, out of a Python package unpacked in the folder."""
    place = folder / "ziglang"
    if not place.exists():
        line = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place)]
        subprocess.run([*line, f"ziglang=={ZIGLANG}"], check=True)
    zig = next(place.rglob("ziglang/zig"))
    return [str(zig), "cc", "-target", "aarch64-linux-gnu.2.28"]


def install(folder: Path, minor: str) -> None:
    """Install wheels for aarch64 into a folder, without running any of them."""
    platforms = [word for each in PLATFORMS for word in ("--platform", each)]
    line = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    line += ["--only-binary=:all:", "--implementation", "cp", "--python-version", f"3.{minor}"]
    line += [*platforms, "--no-deps"]
    # The MKL-free aarch64 wheel of torch needs no GPU package; its dependencies are named here.
    subprocess.run([*line, f"torch=={TORCH}"], check=True)
    subprocess.run([*line, *NEEDS, "mpmath", "markupsafe", *TESTS], check=True)


def unpack(archives: list[Path], root: Path) -> None:
    """Unpack Debian packages into a folder."""
    root.mkdir(parents=True, exist_ok=True)
    for each in archives:
        subprocess.run(["dpkg-deb", "-x", str(each), str(root)], check=True)


class _Apt:
    """The archives this machine knows, asked for arm64 too, with state of its own in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for each in ("lists/partial", "archives/partial", "downloads"):
            (folder / each).mkdir(parents=True, exist_ok=True)
        status = folder / "status"
        status.touch()
        self._options = [
            f"-oDir::State={folder}",
            f"-oDir::State::lists={folder / 'lists'}",
            f"-oDir::State::status={status}",
            f"-oDir::Cache={folder}",
            "-oAPT::Architecture=arm64",
            "-oAPT::Architectures::=arm64",
            "-oAPT::Architectures::=amd64",
            "-oAPT::Sandbox::User=root",
        ]

    def update(self) -> None:
        subprocess.run(["apt-get", *self._options, "-qq", "update"], check=True)

    def closure(self, names: tuple[str, ...]) -> list[str]:
        """Return packages and all they need, as apt would install them into an empty system."""
        line = ["apt-get", *self._options, "-qq", "--simulate", "--no-install-recommends"]
        done = subprocess.run(
            [*line, "install", *names], check=True, capture_output=True, text=True
        )
        rows = (each.split() for each in done.stdout.splitlines())
        return sorted({each[1].split(":")[0] for each in rows if each[:1] == ["Inst"]})

    def download(self, names: list[str], architecture: str) -> list[Path]:
        folder = self._folder / "downloads" / architecture
        folder.mkdir(parents=True, exist_ok=True)
        wanted = [f"{each}:{architecture}" for each in names]
        subprocess.run(
            ["apt-get", *self._options, "-qq", "download", *wanted], check=True, cwd=folder
        )
        return sorted(folder.glob("*.deb"))
