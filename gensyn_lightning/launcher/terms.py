"""The terms of a job: how much is checked, what it may cost, and how that is said to people."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gensyn_lightning.config import Config
from gensyn_lightning.errors import InsufficientBalance
from gensyn_lightning.protocol.digest import Money
from gensyn_lightning.protocol.job import Job
from gensyn_lightning.protocol.parameters import PPM, Parameters
from gensyn_lightning.protocol.settlement import price

TIER = "none"
EPOCHS_BY_DEFAULT = 1000  # Lightning's own
BATCHES_UNKNOWN = 1_000_000  # budgeted for when nothing in the trainer bounds the fit


def parameters(network: Parameters, config: Config, verifiers: int) -> Parameters:
    """Return the network's parameters with what this job asks for."""
    wanted = replace(network, audit_rate_ppm=config.audit_rate_ppm, verifiers_per_segment=verifiers)
    if config.segment_seconds:
        return replace(wanted, segment_target_ms=round(1000 * config.segment_seconds))
    return wanted


def budget(wanted: int, batches: int, rules: Parameters, balance: Money) -> Money:
    """Return what goes into escrow: `wanted`, or the price of the whole fit; unused money returns.

    Raises `InsufficientBalance` when the balance is below it.
    """
    amount = Money(wanted) if wanted else price(batches, rules)
    if amount > balance:
        what = "the budget" if wanted else f"the price of {batches} batches"
        raise InsufficientBalance(
            f"{what} is {credits_of(amount)}, the balance {credits_of(balance)}",
            hint="set a lower budget, or bound the fit by max_epochs or max_steps",
        )
    return amount


def most_batches(trainer: Any, epoch_batches: int) -> int:
    """Return how many training batches the fit has at most.

    `epoch_batches` is how many an epoch has, as its first batch told; 0 where nothing says so.
    """
    epochs = trainer.fit_loop.max_epochs
    if epochs is None:
        epochs = EPOCHS_BY_DEFAULT if trainer.max_steps == -1 else -1
    bounds = [epochs * epoch_batches if epochs >= 0 and epoch_batches else BATCHES_UNKNOWN]
    if trainer.max_steps >= 0:
        bounds.append(trainer.max_steps * trainer.accumulate_grad_batches)
    return max(1, min(bounds))


def said(job: Job) -> str:
    """Return the terms for people."""
    rules = job.parameters
    share = {PPM: "every segment", 0: "no segment"}.get(
        rules.audit_rate_ppm, f"{rules.audit_rate_ppm / PPM:.0%} of the work"
    )
    return f"{share} is run again by others; {credits_of(job.budget)} set aside"


def credits_of(amount: int) -> str:
    """Return an amount of money for people."""
    return f"{amount:,} credits"
