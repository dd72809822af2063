"""The whole path on this machine: train the digits on a network, check the report, compare.

The last line on stdout is one JSON document, also at build/demo/summary.json; everything for
people goes to stderr.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build/demo"
GENSYN = Path(sys.executable).with_name("gensyn")
ACCURACY_MIN = 0.97


def main() -> int:
    """Run the demo; return 0 only when every promise held."""
    if sys.argv[1:] == ["--local"]:
        with contextlib.redirect_stdout(sys.stderr):
            root = train_here(*build("auto", FOLDER / "local"))
        print(root)
        return 0
    began = time.perf_counter()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    os.environ.setdefault("GENSYN_HOME", str(FOLDER / "home"))
    os.chdir(FOLDER)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            summary = run()
    finally:
        gensyn("down")
    summary["seconds"] = round(time.perf_counter() - began, 1)
    text = json.dumps(summary)
    (FOLDER / "summary.json").write_text(text + "\n")
    home = os.environ["GENSYN_HOME"]
    say(f"To check it again: GENSYN_HOME={home} {GENSYN} verify {summary['report']}")
    print(text)
    return 0 if held(summary) else 1


def run() -> dict[str, Any]:
    """Train on the network and at home, verify the report, and return what came of it."""
    say("Training the digits program with strategy='gensyn'.")
    trainer, model, data = build("gensyn", FOLDER / "network")
    trainer.fit(model, datamodule=data)
    [scores] = trainer.test(model, datamodule=data, ckpt_path="best", verbose=False)
    outcome = trainer.strategy.outcome
    say("Training the same program here with plain Lightning.")
    local = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--local"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "0", "OMP_WAIT_POLICY": "PASSIVE"},
    )
    say(f"Checking the report: gensyn verify {outcome.report}")
    gensyn("verify", str(outcome.report))
    return {
        "accuracy": round(scores["test_accuracy"], 4),
        "verdict": outcome.verdict,
        "network_root": outcome.end_root.hex(),
        "local_root": local.stdout.split()[-1],
        "segments": outcome.segments,
        "replayed": outcome.replayed,
        "report": str(outcome.report),
        "receipt_tx": outcome.receipt_tx,
    }


def build(strategy: str, folder: Path) -> Any:
    """Return the digits program, its files in a folder of its own."""
    sys.path.insert(0, str(ROOT / "notebooks"))
    from digits import build as digits

    return digits(strategy, folder=folder)


def train_here(trainer: Any, model: Any, data: Any) -> str:
    """Train with plain Lightning under the settings every runner has; return the final root.

    The weights were drawn before, as they are for the network: by stock torch.
    """
    import torch

    from gensyn_lightning.training import final, normal

    normal.enter(threads=torch.get_num_threads())
    watch = final.FinalRoot(trainer)
    trainer.fit(model, datamodule=data)
    return watch.root().hex()


def held(summary: dict[str, Any]) -> bool:
    """Whether the demo showed what it is for."""
    return (
        summary["accuracy"] >= ACCURACY_MIN
        and summary["verdict"] == "VERIFIED"
        and summary["network_root"] == summary["local_root"]
    )


def gensyn(*words: str) -> None:
    """Run the command a user would type, in front of the user."""
    subprocess.run([GENSYN, *words], check=True, stdout=sys.stderr)


def say(line: str) -> None:
    """Tell people what happens next."""
    print(f"\n=== {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
