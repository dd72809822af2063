"""What became of a fit on the network: the report, the verdict, and what it took."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gensyn_lightning.client import Client
from gensyn_lightning.errors import ReportError
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.protocol.job import JobId, display_id
from gensyn_lightning.report import fetching, trust
from gensyn_lightning.report.finding import Result
from gensyn_lightning.report.verify import Verification, verify
from gensyn_lightning.wire.jobs import JobsGetResponse

REPORT_NAME = "report.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One job as `trainer.strategy.outcome`: `verdict` is the receipt's word, such as VERIFIED.

    `end_root` is the root of the end state, `receipt_tx` the transaction that settled the job,
    `bytes_moved` what this machine sent and received. `train_seconds` and `hash_seconds` are the
    solvers' own word.
    """

    job: JobId
    verdict: str
    statement: str
    report: Path
    end_root: Digest
    receipt_tx: str
    segments: int
    replayed: int
    batches: int
    paid: int
    bytes_moved: int
    train_seconds: float
    hash_seconds: float
    seconds: float

    @property
    def name(self) -> str:
        """The name people see."""
        return display_id(self.job)


@dataclass(frozen=True, slots=True)
class Effort:
    """What a job took, as far as this machine knows."""

    bytes_moved: int
    train_seconds: float
    hash_seconds: float
    seconds: float


def conclude(client: Client, job: JobId, trusted: Path, path: Path, effort: Effort) -> Outcome:
    """Write the report of a job to `path`, check it as anybody would, and say what it says.

    Raises `ReportError` when the network's own records do not hold.
    """
    data = fetching.fetch(client, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    checked = verify(data, trust.read(trusted))
    if not checked.holds or checked.summary is None:
        raise ReportError(f"the report does not hold: {_why(checked)}", hint=f"see {path}")
    summary, state = checked.summary, client.job(job)
    return Outcome(
        job=job,
        verdict=str(summary["status"]),
        statement=str(summary["statement"]),
        report=path,
        end_root=Digest(bytes.fromhex(summary["end_root"] or "")),
        receipt_tx=_transaction(state),
        segments=int(summary["segments"]),
        replayed=int(summary["replayed"]),
        batches=int(summary["batches"]),
        paid=int(summary["paid"]),
        bytes_moved=effort.bytes_moved,
        train_seconds=effort.train_seconds,
        hash_seconds=effort.hash_seconds,
        seconds=effort.seconds,
    )


def _transaction(state: JobsGetResponse) -> str:
    """Return the transaction that wrote the receipt; a refunded job has none."""
    if state.receipt is None or state.transaction is None:
        return ""
    return "0x" + state.transaction.hex()


def _why(checked: Verification) -> str:
    failed = checked.findings.having(Result.FAIL)
    return failed[0].detail if failed else "its signers are unknown"
