"""Says beforehand whether a model is covered: two batches of its fit by reproducible operators.

Runs in a process of its own, `python -m gensyn_lightning.cli.coverage FILE:FACTORY`, and prints one
JSON document with everything that was refused; stock torch computes that meanwhile.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from contextlib import redirect_stdout
from typing import Any

BATCHES = 2


def main() -> None:
    """Fit what the factory returns for a moment and print what is not covered."""
    with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        found = uncovered(sys.argv[1], folder)
    print(json.dumps({"refused": found}))


def uncovered(program: str, folder: str) -> list[str]:
    """Return what `reproducible()` would refuse of a fit, each once; files go to `folder`."""
    from gensyn_lightning.cli.train import load_factory
    from gensyn_lightning.repops import refusal, registry

    trainer, model, data = load_factory(program)
    _shorten(trainer, folder)
    with warnings.catch_warnings(), refusal.noting() as noted, registry.reproducible():
        warnings.simplefilter("ignore")
        trainer.fit(model, data)
    return list(dict.fromkeys(map(str, noted)))


def _shorten(trainer: Any, folder: str) -> None:
    """Have a trainer fit two batches here, and write nothing anywhere else."""
    trainer.strategy._launcher = None
    trainer.limit_train_batches = trainer.limit_val_batches = BATCHES
    trainer.num_sanity_val_steps = 0
    trainer.fit_loop.max_epochs = 1
    trainer.fit_loop.epoch_loop.max_steps = -1
    trainer._default_root_dir = folder
    trainer._loggers = []
    kept = [each for each in trainer.callbacks if not hasattr(each, "best_model_path")]
    trainer.callbacks = [each for each in kept if "ProgressBar" not in type(each).__name__]


if __name__ == "__main__":
    main()
