"""A fit in segments on this machine, without coordinator or nodes: zygote, forks, files."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gensyn_lightning.launcher import launcher_class
from gensyn_lightning.network.home import Home
from gensyn_lightning.network.plan import runner_environment
from gensyn_lightning.node.runner import Runner
from gensyn_lightning.protocol.commitment import Outcome
from gensyn_lightning.protocol.digest import ZERO
from gensyn_lightning.strategy import flavoured
from gensyn_lightning.training import outputs, state
from gensyn_lightning.training.capture import capture
from gensyn_lightning.training.request import SegmentRequest
from gensyn_lightning.training.returning import Result, Return

SEGMENTS_MAX = 1000


@contextmanager
def zygote(folder: Path) -> Iterator[Runner]:
    """Give a runner whose zygote ends with the block."""
    path = folder / "zygote"
    command = [sys.executable, "-P", "-m", "gensyn_lightning.node.zygote", "--socket", str(path)]
    log = (folder / "zygote.log").open("wb")
    process = subprocess.Popen(
        command, env=runner_environment(Home(folder)), stdout=log, stderr=log
    )
    try:
        while not path.exists():
            if process.poll() is not None:
                raise RuntimeError((folder / "zygote.log").read_text())
        yield Runner(path)
    finally:
        process.kill()
        process.wait()
        log.close()


def run(runner: Runner, folder: Path, fit: Any, events: int) -> None:
    """Run a fit in segments of about `events` events and put its result into its trainer."""
    trainer, function, args, kwargs = fit
    captured = capture(trainer, function, args, kwargs)
    back = Return(trainer, function, args, kwargs, captured)
    artifacts = folder / "artifacts"
    captured.store(artifacts)
    written, start, first = [], None, 0
    start_root = ZERO
    for index in range(SEGMENTS_MAX):
        scratch = folder / f"segment-{index}"
        scratch.mkdir()
        request = SegmentRequest(
            manifest=captured.manifest_digest,
            artifacts=artifacts,
            state=start,
            first_event=first,
            target_event=first + events,
            start_root=start_root,
        )
        result = runner.run(request, scratch)
        found = outputs.parse((scratch / "outputs.json").read_bytes())
        assert outputs.root(found) == result.outputs_root
        written.append(found)
        for file in (scratch / "files").glob("*"):
            os.replace(file, artifacts / file.name)
        start, first, start_root = scratch / "state", result.end_event, result.end_root
        if result.outcome is not Outcome.CONTINUES:
            break
    end = state.load(start, expected_root=start_root)
    back.apply(Result(result.outcome, end, written, artifacts))


def strategy(flavour: str, runner: Runner, events: int = 7) -> Any:
    """Return a strategy whose fits go through the pipe."""

    class Launcher(launcher_class(flavour)):  # type: ignore[misc]
        def launch(
            self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any
        ) -> Any:
            if trainer.state.fn != "fit":
                return function(*args, **kwargs)
            with tempfile.TemporaryDirectory() as folder:
                return run(runner, Path(folder), (trainer, function, args, kwargs), events)

    class Strategy(flavoured(flavour)):  # type: ignore[misc]
        def _configure_launcher(self) -> None:
            self._launcher = Launcher(self.options)

    return Strategy()
