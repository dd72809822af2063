"""The coordinator as a process: `python -m coordinator --home DIR --chain URL --keys DIR`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from gensyn_lightning.errors import GensynError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a coordinator until it is told to stop."""
    options = _parser().parse_args(arguments)
    try:
        from coordinator.process import Options, serve

        asyncio.run(
            serve(
                Options(
                    home=options.home.absolute(),
                    keys=options.keys or options.home.absolute() / "keys",
                    port=options.port,
                    chain=options.chain,
                    contracts=options.domain
                    or options.home.absolute().parent / "chain" / "chain.json",
                    single_operator=options.operators == "one",
                )
            )
        )
    except GensynError as error:
        print(f"coordinator: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="coordinator")
    parser.add_argument("--home", type=Path, required=True, help="folder of its files")
    parser.add_argument("--port", type=int, default=0, help="0: one the system chooses")
    parser.add_argument("--chain", required=True, help="URL of the chain's JSON-RPC")
    parser.add_argument("--keys", type=Path, help="folder of keystores; default HOME/keys")
    parser.add_argument("--domain", type=Path, help="file with chain_id and escrow")
    parser.add_argument("--operators", choices=("one", "many"), default="one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
