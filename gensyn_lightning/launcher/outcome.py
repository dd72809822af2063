"""What became of a fit on the network: the report, the verdict, and what it took."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gensyn_lightning.client import Client
from gensyn_lightning.errors import ReportError
from gensyn_lightning.launcher.reach import Reach
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.protocol.job import Job, JobId, display_id, job_id
from gensyn_lightning.report import fetching, onchain, trust
from gensyn_lightning.report.finding import Findings, Result
from gensyn_lightning.report.verify import Verification, verify
from gensyn_lightning.wire.jobs import JobsGetResponse

REPORT_NAME = "report.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One job as `trainer.strategy.outcome`.

    `verdict` is the receipt's word, such as VERIFIED, or UNCONFIRMED where that word is VERIFIED
    and neither the trust file nor the chain knows everyone who signed for it.

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


def check(network: Reach, job: Job, path: Path) -> Verification:
    """Write the report of a job to `path` and check it as anybody would.

    Signers that this network's trust file does not name count as known if its chain vouches for
    them. Raises `ReportError` when the network's own records do not hold, or are about another job.
    """
    data = fetching.fetch(network.client, job_id(job))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    pins = trust.read(Path(network.info.trust))
    done = verify(data, pins)
    if not done.holds or done.summary is None or done.case is None:
        raise ReportError(f"the report does not hold: {_why(done)}", hint=f"see {path}")
    domain = network.client.identity.domain
    if (done.case.job, done.case.domain) != (job, domain):
        raise ReportError("the network reported about another job", hint=f"see {path}")
    if done.unknown:
        done.pin(pins | onchain.check(Findings(), done.case, network.info.chain, domain.escrow))
    return done


def conclude(client: Client, done: Verification, path: Path, effort: Effort) -> Outcome:
    """Return what a report that was checked says of its job."""
    assert done.case is not None
    assert done.summary is not None
    summary, state = done.summary, client.job(done.case.job_id)
    return Outcome(
        job=done.case.job_id,
        verdict=done.standing,
        statement=done.statement,
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
