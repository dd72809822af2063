"""A receipt as the chain takes it for a job and its settlement."""

from typing import Any

from gensyn_lightning.protocol.digest import Money, keccak
from gensyn_lightning.protocol.job import Job, job_id
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.settlement import Settlement, settle_root
from gensyn_lightning.protocol.verdict import DisputeClass


def make_receipt(job: Job, settlement: Settlement, **changes: Any) -> Receipt:
    """Return a receipt whose fields agree with the job and the settlement, but for `changes`."""
    fields: dict[str, Any] = {
        "job": job_id(job),
        "program": job.program,
        "submitter": job.submitter,
        "model": keccak(b"model"),
        "end_root": keccak(b"end"),
        "segments": 4,
        "replayed": 1,
        "owners": 1,
        "numerics": job.numerics,
        "sandbox_tier": job.sandbox_tier,
        "dispute_class": DisputeClass.NONE,
        "single_operator": True,
        "commitments_root": keccak(b"commitments"),
        "settle_root": settle_root(settlement),
        "paid": Money(sum(each.amount for each in settlement.payments)),
    }
    return Receipt(**fields | changes)
