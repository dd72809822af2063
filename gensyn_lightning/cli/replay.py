"""Segments of a report run again on this machine, and compared with what was committed (L4).

The program runs here, in a runner of this machine's network, with the rights every node's runner
has. A segment that gives other bits here is a question, not a finding, unless this machine
computes the job's version of arithmetic; if it does not, nothing is run.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gensyn_lightning.client import Client
from gensyn_lightning.errors import ReportError, SandboxError
from gensyn_lightning.network.connection import connected, known_network
from gensyn_lightning.node.cache import Cache, link
from gensyn_lightning.node.runner import SEGMENT_S, Runner
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.commitment import Commitment
from gensyn_lightning.protocol.digest import ZERO, Digest, Nonce
from gensyn_lightning.protocol.verdict import Replay, compare
from gensyn_lightning.report.case import Attempt, Case
from gensyn_lightning.report.finding import Findings, Left, Level, Result, must
from gensyn_lightning.report.statement import agreement
from gensyn_lightning.training.manifest import read_manifest
from gensyn_lightning.training.request import SegmentRequest, SegmentResult

Standing = tuple[Attempt, Commitment]


def check(
    findings: Findings,
    case: Case,
    count: int,
    *,
    timeout_s: float | None,
    say: Callable[[str], None],
) -> None:
    """Run `count` segments, drawn here and now, again; raise `TimeoutError` when time is up."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    standing = list(case.standing)
    drawn = sorted(secrets.SystemRandom().sample(range(len(standing)), min(count, len(standing))))
    info = known_network()
    with (
        connected(info) as client,
        tempfile.TemporaryDirectory(prefix="gensyn-replay-") as folder,
    ):
        place = _Place(client, Runner(Path(info.zygote)), Path(folder), deadline)
        for index in drawn:
            say(f"running segment {index} again …")
            findings.run(
                Level.REPLAY,
                f"segment {index} gives the same bits here",
                lambda index=index: place.compare(case, standing, index),  # type: ignore[misc]
            )


class _Place:
    """Where segments are run again: artifacts fetched once, a fresh folder for each."""

    def __init__(
        self, client: Client, runner: Runner, folder: Path, deadline: float | None
    ) -> None:
        self._cache = Cache(folder / "cache", client.download)
        self._runner, self._folder, self._deadline = runner, folder, deadline
        self._numerics = runner.numerics(folder)

    def compare(self, case: Case, standing: Sequence[Standing], index: int) -> str | Left:
        """Run one segment and compare its roots with the commitment."""
        if case.job.numerics not in self._numerics:
            return Left(f"this machine computes {' and '.join(self._numerics)}", Result.OPEN)
        attempt, claim = standing[index]
        before = standing[index - 1][0] if index else None
        result = self._run(case, attempt, before)
        replay = _as_replay(claim, result)
        if attempt.salt is None:
            _, failed = agreement(claim, replay)
            must(not failed, f"here it gave another {', '.join(failed)}")
            return "all roots but the witness, whose salt was never opened"
        found = compare(claim, attempt.salt, replay)
        if found is not None:
            raise ReportError(f"here its {found.field} is {found.found}, not {found.claimed}")
        return f"{result.batches} batches in {result.seconds:.1f} s"

    def _run(self, case: Case, attempt: Attempt, before: Attempt | None) -> SegmentResult:
        folder = self._folder / f"segment-{attempt.task.index}"
        scratch, artifacts = folder / "run", folder / "artifacts"
        scratch.mkdir(parents=True, mode=0o700)
        self._cache.lay_out([case.job.program], artifacts)
        manifest = read_manifest(case.job.program, artifacts)
        self._cache.lay_out((each.digest for each in manifest.artifacts()), artifacts)
        request = SegmentRequest(
            manifest=case.job.program,
            artifacts=artifacts,
            state=None if before is None else self._state(before, folder / "start"),
            first_event=attempt.task.first_event,
            target_event=attempt.task.target_event,
            start_root=attempt.task.start_root,
            tape=None if attempt.tape is None else self._cache.get(attempt.tape),
        )
        left = SEGMENT_S if self._deadline is None else self._deadline - time.monotonic()
        try:
            return self._runner.run(request, scratch, timeout_s=min(left, SEGMENT_S))
        except SandboxError:
            if self._deadline is not None and time.monotonic() >= self._deadline:
                raise TimeoutError from None
            raise

    def _state(self, before: Attempt, folder: Path) -> Path:
        if before.refs is None:
            raise ReportError("the report does not name the start state")
        folder.mkdir(mode=0o700)
        for digest, name in zip(
            before.refs, ("structure.json", "tensors.safetensors"), strict=True
        ):
            link(self._cache.get(digest), folder / name)
        return folder


def _as_replay(claim: Commitment, result: SegmentResult) -> Replay:
    return result.as_replay(
        commitment=struct_hash(claim),
        verifier=claim.solver,
        draw=Digest(ZERO),
        nonce=Nonce(bytes(16)),
    )
