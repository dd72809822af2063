"""A program of notebooks/, trained for a few batches: on a network, or right here.

Called as a program: `notebook_program.py NAME WHERE`, where WHERE is `network` or `local`, in a
folder of its own; the last line on stdout is the root of the state the fit ended in.
"""

import contextlib
import importlib
import sys
from pathlib import Path

from gensyn_lightning import GensynStrategy

sys.path.insert(0, str(Path(__file__).parents[2] / "notebooks"))
BRIEFLY = {"epochs": 2, "limit_train_batches": 8, "limit_val_batches": 2, "log_every_n_steps": 2}


def main() -> None:
    """Train one program at one place and print its root."""
    name, where = sys.argv[1:]
    with contextlib.redirect_stdout(sys.stderr):
        build = importlib.import_module(name).build
        strategy = GensynStrategy(audit="full", quiet=True) if where == "network" else "auto"
        program = build(
            strategy, folder=Path(where).resolve(), enable_progress_bar=False, **BRIEFLY
        )
        if where == "local":
            root = importlib.import_module("demo").train_here(*program)
        else:
            trainer, model, data = program
            trainer.fit(model, datamodule=data)
            assert trainer.strategy.outcome.verdict == "VERIFIED"
            root = trainer.strategy.outcome.end_root.hex()
    print(root)


if __name__ == "__main__":
    main()
