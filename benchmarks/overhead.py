"""What the network costs: plain Lightning against the network, audited and not, in one run.

The digits program is widened until a plain step takes at least 20 ms, then each way of training
runs a short and a long fit in every round, in one order and then in the reverse. The short fit
gives the fixed cost, the difference of the two the steady cost per batch. Whatever else a machine
does can only add time, so every figure is of the fastest fits; `steps_ms` shows all the rounds.
All but stock use the same settings (threads, kernels), so that the ratios compare the network and
nothing else; `stock_ratio` says what those settings cost against stock.
`view_ratio` compares a fit in a notebook with its live view to the same fit without; `view_share`
is how much more of the machine's processors the submitting process used for it, which the noise of
others does not reach. `--ways plain,none --rounds 6` spends its time on one ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STEP_MS_MIN = 20.0
SHORT = 20
WAYS = ("stock", "plain", "none", "default", "view")


def main() -> None:
    """Print one JSON document; progress goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a plain long fit")
    parser.add_argument("--rounds", type=int, default=2, help="how often each way is timed")
    parser.add_argument("--ways", default=",".join(WAYS), help="which ways; plain is always timed")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(json.loads(options.run))))
        return
    with tempfile.TemporaryDirectory(prefix="gensyn-bench-") as home:
        ways = [each for each in WAYS if each in {"plain", *options.ways.split(",")}]
        print(json.dumps(compare(ways, options.seconds, options.rounds, Path(home))))


def compare(ways: list[str], seconds: float, count: int, home: Path) -> dict[str, Any]:
    """Return the published figures of some ways."""
    width, step_ms = widen()
    long = max(4 * SHORT, int(seconds * 1000 / step_ms))
    rounds: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for at in range(count):
        for way in ways[:: -1 if at % 2 else 1]:
            job = {"width": width, "batches": [SHORT, long], "way": way}
            rounds[way].append(timed(job, home))
            print(f"{way}: {1000 * slope(rounds[way][-1]):.2f} ms a batch", file=sys.stderr)
    best = {way: fastest(rounds[way]) for way in ways}
    return {
        "batches": long,
        "width": width,
        "plain_step_ms": round(1000 * slope(best["plain"]), 2),
        **compared(best),
        "steps_ms": {way: [round(1000 * slope(each), 2) for each in rounds[way]] for way in ways},
        "cores": os.cpu_count(),
    }


def compared(best: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what the ways that were timed say of one another."""
    plain, found = best["plain"], {}
    if "stock" in best:
        found["stock_ratio"] = round(slope(plain) / slope(best["stock"]), 4)
    if "default" in best:
        found["audited_ratio"] = round(slope(best["default"]) / slope(plain), 4)
    if "none" in best:
        free = best["none"]
        found["fixed_s"] = round(free["seconds"][0] - plain["seconds"][0], 3)
        found["steady_ratio"] = round(slope(free) / slope(plain), 4)
        found |= {name: free[name] for name in ("hash_share", "bytes_moved", "segments")}
        if "view" in best:
            viewed = best["view"]
            found["view_ratio"] = round(slope(viewed) / slope(free), 4)
            found["view_share"] = round(share(viewed) - share(free), 4)
    return found


def share(result: dict[str, Any]) -> float:
    """Return how much of all processors the submitting process used during the long fit."""
    return float(result["client_cpu_s"] / result["seconds"][-1] / (os.cpu_count() or 1))


def slope(result: dict[str, Any]) -> float:
    """Return seconds per batch once the fixed cost is taken off."""
    (short, long), (short_s, long_s) = result["batches"], result["seconds"]
    return (long_s - short_s) / (long - short)


def fastest(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the results of one way of training as one, its times the least of theirs."""
    times = zip(*(each["seconds"] for each in results), strict=True)
    return results[-1] | {"seconds": [min(each) for each in times]}


def widen() -> tuple[int, float]:
    """Return the first width whose plain step takes long enough, and that step in ms."""
    for width in (64, 96, 128, 160, 192, 256, 320, 384, 512):
        result = timed({"width": width, "batches": [5, 25], "way": "plain"}, None)
        step_ms = 1000 * slope(result)
        print(f"width {width}: {step_ms:.1f} ms a step", file=sys.stderr)
        if step_ms >= STEP_MS_MIN:
            return width, step_ms
    raise SystemExit("no width is slow enough; this machine is too fast for the table of widths")


def timed(job: dict[str, Any], home: Path | None) -> dict[str, Any]:
    """Run one way of training in a process of its own and return what it measured."""
    environment = os.environ | {"PYTHONHASHSEED": "0", "OMP_WAIT_POLICY": "PASSIVE"}
    if home:
        environment["GENSYN_HOME"] = str(home)
    if job["way"] == "view":
        return job | in_notebook(job, environment)
    command = [sys.executable, "-W", "ignore", __file__, "--run", json.dumps(job)]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
    )
    return job | json.loads(done.stdout.splitlines()[-1])


def in_notebook(job: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    """Run one way of training in a kernel of this Python and return what it measured."""
    from nbclient import NotebookClient
    from nbformat import v4

    code = (
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nimport json, overhead\n"
    )
    code += f"print('MEASURED', json.dumps(overhead.run(json.loads({json.dumps(job)!r}))))"
    notebook = v4.new_notebook(cells=[v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=None, kernel_name="python3").execute(env=environment)
    said = "".join(each.get("text", "") for each in notebook.cells[0].outputs)
    measured: dict[str, Any] = json.loads(said.partition("MEASURED ")[2].splitlines()[0])
    return measured


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Fit the program for each number of batches, after one small fit that warms everything up."""
    sys.path.insert(0, str(ROOT / "notebooks"))
    if job["way"] == "plain":
        settle_numerics()
    fit(job, 3)
    measured = [fit(job, batches) for batches in job["batches"]]
    last = measured[-1]
    seconds = [each["seconds"] for each in measured]
    return {"seconds": seconds, "client_cpu_s": last["client_cpu_s"]} | last["network"]


def settle_numerics() -> None:
    """Bring this process into the numeric settings every runner has."""
    import torch

    from gensyn_lightning.training import normal

    normal.enter(threads=torch.get_num_threads())


def fit(job: dict[str, Any], batches: int) -> dict[str, Any]:
    """Time one fit of `batches` training batches, without validation or checkpoints."""
    import torch
    from digits import build

    from gensyn_lightning import GensynStrategy

    plain = job["way"] in ("plain", "stock")
    strategy: Any = "auto"
    if job["way"] == "view":
        strategy = GensynStrategy(audit="none", display=shown_view())
    elif not plain:
        strategy = GensynStrategy(audit=job["way"], quiet=True)
    folder = Path(tempfile.mkdtemp(prefix="gensyn-bench-fit-"))
    trainer, model, data = build(
        strategy,
        folder=folder,
        width=job["width"],
        epochs=-1,
        max_steps=batches,
        limit_val_batches=0,
        callbacks=[],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    torch.manual_seed(7)
    began, used = time.perf_counter(), time.process_time()
    trainer.fit(model, datamodule=data)
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - used
    network = {} if plain else measured_by(trainer)
    return {"seconds": seconds, "client_cpu_s": cpu_s, "network": network}


def shown_view() -> Any:
    """Return a live view in the output of the running cell."""
    from kernel_ext.live import LiveView

    view = LiveView(lambda _: None)
    view.show()
    return view


def measured_by(trainer: Any) -> dict[str, Any]:
    """Return what the network says of its own cost."""
    outcome = trainer.strategy.outcome
    return {
        "hash_share": round(outcome.hash_seconds / max(outcome.train_seconds, 1e-9), 4),
        "bytes_moved": outcome.bytes_moved,
        "segments": outcome.segments,
    }


if __name__ == "__main__":
    main()
