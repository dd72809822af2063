"""The numbers a job is run under, hashed into the job so that no party can change them later."""

from __future__ import annotations

from dataclasses import dataclass

from gensyn_lightning.protocol.digest import Money

PPM = 1_000_000
PRICE_PER_BATCH = Money(1_000)

# Bounds that hold for every job; exceeding one is `LimitExceeded`.
EVENTS_PER_TASK_MAX = 1 << 20
TASKS_PER_JOB_MAX = 1 << 16
ATTEMPTS_PER_TASK_MAX = 8
AUDITS_PER_ATTEMPT_MAX = 8
NODES_MAX = 4096
STRING_BYTES_MAX = 512


@dataclass(frozen=True, slots=True)
class Parameters:
    """Rates in parts per million, times in milliseconds, money in the smallest unit."""

    audit_rate_ppm: int = 100_000
    verifiers_per_segment: int = 1
    colluding_share_ppm: int = 200_000
    redraws_max: int = 3
    segment_target_ms: int = 60_000
    lease_ms: int = 30_000
    queue_to_start_ms: int = 120_000
    start_to_finish_ms: int = 1_800_000
    salt_window_ms: int = 60_000
    report_window_ms: int = 1_800_000
    job_total_ms: int = 86_400_000
    price_per_batch: Money = PRICE_PER_BATCH
    verifier_share_ppm: int = 200_000


EMBEDDED = Parameters(
    segment_target_ms=5_000,
    lease_ms=10_000,
    queue_to_start_ms=60_000,
    start_to_finish_ms=600_000,
    salt_window_ms=10_000,
    report_window_ms=600_000,
)
