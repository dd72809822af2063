"""What the network costs: plain Lightning against the network, audited and not, in one run.

The digits program is widened until a plain step takes at least 20 ms. `fixed_s` is what a short fit
takes longer on a warm network, with the whole machine; the fastest of all rounds, since whatever
else a machine does can only add time.

Every ratio is of two fits at the same time, each on its half of the processors with everything that
belongs to it: what slows a machine down slows both, and the halves are swapped from round to round.
A long fit less a short one gives seconds per batch without the fixed cost. Both long fits begin
together, and who is first goes on training until the other is done. A ratio is the geometric mean
of its rounds; `rounds` shows them all. With two processors each fit has one: then nothing that a
network does beside the training is hidden by a processor that is idle, and all of it counts.

Plain is Lightning on torch as installed, which is what a user leaves behind: `steady_ratio` and
`audited_ratio` are what changes for them. Part of that is our operators, faster or slower than
torch's; `network_ratio` leaves them out: it compares the network to Lightning on the same operators
and settings, so it is what segments, records and commitments cost. `view_ratio` compares a fit in a
notebook with its live view to the same fit without, and `view_share` is how much more of the
machine's processors the submitting process used for it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parent.parent
STEP_MS_MIN = 20.0
SHORT = 20
WIDTHS = (32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512)
RATIOS = {  # the way that is measured, and what it is measured against
    "steady_ratio": ("none", "plain"),
    "audited_ratio": ("default", "plain"),
    "network_ratio": ("none", "settled"),
    "view_ratio": ("view", "none"),
}
READY, GO = "READY", "go"
Halves = tuple[list[int], list[int]]


def main() -> None:
    """Print one JSON document; progress goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a plain long fit")
    parser.add_argument("--rounds", type=int, default=2, help="how often each ratio is taken")
    parser.add_argument("--ratios", default=",".join(RATIOS), help="which ratios")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(json.loads(options.run))
        return
    from gensyn_lightning.network import Network

    halves = halved(sorted(os.sched_getaffinity(0)))
    wanted = [each for each in RATIOS if each in options.ratios.split(",")]
    with tempfile.TemporaryDirectory(prefix="gensyn-bench-") as home:
        try:
            print(json.dumps(compare(wanted, options.seconds, options.rounds, halves, Path(home))))
        finally:
            for each in Path(home).iterdir():
                Network.stop(each)


def halved(processors: list[int]) -> Halves:
    """Return two halves of the processors."""
    half = len(processors) // 2
    if not half:
        raise SystemExit("two processors are needed: each fit has its own half of the machine")
    return processors[:half], processors[half : 2 * half]


def compare(
    wanted: list[str], seconds: float, rounds: int, halves: Halves, home: Path
) -> dict[str, Any]:
    """Return the published figures."""
    width, step_ms = widen(halves[0])
    long = max(4 * SHORT, int(seconds * 1000 / step_ms))
    job = {"width": width, "batches": [SHORT, long], "waits": True}
    found: dict[str, Any] = {"batches": long, "width": width, "plain_step_ms": round(step_ms, 2)}
    found["fixed_s"] = round(fixed_s(width, rounds, home / "whole"), 3)
    every = {}
    for name in wanted:
        pairs = []
        for at in range(rounds):
            pairs.append(side_by_side(job, RATIOS[name], halves[:: -1 if at % 2 else 1], home))
            print(f"{name}: {ratio(*pairs[-1]):.4f}", file=sys.stderr)
        every[name] = [round(ratio(*pair), 4) for pair in pairs]
        found[name] = round(math.prod(every[name]) ** (1 / rounds), 4)
        if name == "steady_ratio":
            last = pairs[-1][0]
            found |= {each: last[each] for each in ("hash_share", "bytes_moved", "segments")}
        if name == "view_ratio":
            more = [share(one, halves) - share(two, halves) for one, two in pairs]
            found["view_share"] = round(sum(more) / rounds, 4)
    return found | {"rounds": every, "processors_each": len(halves[0])}


def fixed_s(width: int, rounds: int, home: Path) -> float:
    """Return how much longer a short fit takes on a warm network that has the machine."""
    taken: dict[str, list[float]] = {"plain": [], "none": []}
    for _ in range(rounds):
        for way, seconds in taken.items():
            timed = Timed({"width": width, "batches": [SHORT] * 3, "way": way}, home)
            seconds += timed.measured()["seconds"]
            timed.close()
    print(f"short fits: {taken}", file=sys.stderr)
    return min(taken["none"]) - min(taken["plain"])


def ratio(one: dict[str, Any], two: dict[str, Any]) -> float:
    """Return how many times as long a batch takes one way as the other."""
    return slope(one) / slope(two)


def slope(result: dict[str, Any]) -> float:
    """Return seconds per batch once the fixed cost is taken off."""
    (short, long), (short_s, long_s) = result["batches"], result["seconds"]
    return float((long_s - short_s) / (long - short))


def share(result: dict[str, Any], halves: Halves) -> float:
    """Return how much of the machine the submitting process used during the long fit."""
    return float(result["client_cpu_s"] / result["seconds"][-1] / sum(map(len, halves)))


def widen(processors: list[int]) -> tuple[int, float]:
    """Return the first width whose plain step takes long enough there, and that step in ms."""
    for width in WIDTHS:
        job = {"width": width, "batches": [5, 45], "way": "plain", "processors": processors}
        timed = Timed(job, None)
        step_ms = 1000 * slope(timed.measured())
        timed.close()
        print(f"width {width}: {step_ms:.1f} ms a step", file=sys.stderr)
        if step_ms >= STEP_MS_MIN:
            return width, step_ms
    raise SystemExit("no width is slow enough; this machine is too fast for the table of widths")


def side_by_side(
    job: dict[str, Any], ways: tuple[str, str], halves: Halves, home: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run two ways of training at the same time, each on its half of the processors."""
    one, two = (
        Timed(job | {"way": way, "processors": half}, home / f"on-{half[0]}")
        for way, half in zip(ways, halves, strict=True)
    )
    try:
        for each in (one, two):
            each.until(READY)
        for each in (one, two):
            each.go()
        return one.measured(), two.measured()
    finally:
        for each in (one, two):
            each.close()


class Timed:
    """One way of training in a process of its own, with its network in `home`.

    A job that `waits` says READY before its last fit, begins it when told to, and trains on after
    it until it is closed.
    """

    def __init__(self, job: dict[str, Any], home: Path | None) -> None:
        self._job = job
        environment = os.environ | {"PYTHONHASHSEED": "0", "OMP_WAIT_POLICY": "PASSIVE"}
        if home:
            environment["GENSYN_HOME"] = str(home)
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, "--run", json.dumps(job)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def go(self) -> None:
        """Let the last fit begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(GO + "\n")
        self._process.stdin.flush()

    def measured(self) -> dict[str, Any]:
        """Return what was measured, once it is."""
        found: dict[str, Any] = json.loads(self.until("{"))
        return self._job | found

    def until(self, start: str) -> str:
        """Return the next line that begins so."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(start):
                return line
        raise SystemExit(f"a fit ended by itself: {self._job}")

    def close(self) -> None:
        """Have it end, once the fit it is in has."""
        self._process.communicate()


def run(job: dict[str, Any]) -> None:
    """Do a job in this process, or in a kernel of its own."""
    if job.get("processors"):
        os.sched_setaffinity(0, job["processors"])
    if job["way"] == "view":
        in_notebook(job)
        return
    for line in said(job, sys.stdin):
        print(line, flush=True)


def in_notebook(job: dict[str, Any]) -> None:
    """Do a job in a cell; the kernel reads our input and writes to our output."""
    from nbclient import NotebookClient
    from nbformat import v4

    code = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import overhead
with open("/proc/{os.getpid()}/fd/0") as told, open("/proc/{os.getpid()}/fd/1", "w") as out:
    for line in overhead.said(json.loads({json.dumps(job)!r}), told):
        print(line, file=out, flush=True)
"""
    notebook = v4.new_notebook(cells=[v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=None, kernel_name="python3").execute()


def said(job: dict[str, Any], told: TextIO) -> Iterator[str]:
    """Fit the program for each number of batches, after a small fit that warms everything up."""
    sys.path.insert(0, str(ROOT / "notebooks"))
    if job["way"] == "settled":
        settle_numerics()
    fit(job, 3)
    *few, last = job["batches"]
    measured = [fit(job, batches) for batches in few]
    if job.get("waits"):
        yield READY
        told.readline()
    measured.append(fit(job, last))
    seconds = [each["seconds"] for each in measured]
    yield json.dumps(measured[-1] | {"seconds": seconds})
    while job.get("waits") and not select.select([told], [], [], 0)[0]:
        fit(job, 10 * SHORT)


def settle_numerics() -> None:
    """Bring this process into the operators and settings every runner has."""
    import torch

    from gensyn_lightning.training import normal

    normal.enter(threads=torch.get_num_threads())


def fit(job: dict[str, Any], batches: int) -> dict[str, Any]:
    """Time one fit of `batches` training batches, without validation or checkpoints."""
    import torch
    from digits import build

    from gensyn_lightning import GensynStrategy

    plain = job["way"] in ("plain", "settled")
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
    return {"seconds": seconds, "client_cpu_s": cpu_s} | ({} if plain else measured_by(trainer))


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
