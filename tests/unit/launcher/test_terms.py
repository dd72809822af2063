"""What a job may cost and how much is checked."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gensyn_lightning.config import resolve
from gensyn_lightning.errors import InsufficientBalance
from gensyn_lightning.launcher import terms
from gensyn_lightning.protocol.digest import Money
from gensyn_lightning.protocol.parameters import EMBEDDED, Parameters


def trainer(epochs: int | None, steps: int = -1, accumulate: int = 1) -> SimpleNamespace:
    return SimpleNamespace(
        max_steps=steps,
        accumulate_grad_batches=accumulate,
        fit_loop=SimpleNamespace(max_epochs=epochs),
    )


@pytest.mark.parametrize(
    ("who", "batches", "most"),
    [
        (trainer(12), 40, 480),
        (trainer(None), 40, 40_000),
        (trainer(None, steps=100), 40, 100),
        (trainer(-1, steps=100, accumulate=3), 40, 300),
        (trainer(2, steps=1000), 40, 80),
        (trainer(2), 0, terms.BATCHES_UNKNOWN),
        (trainer(-1), 40, terms.BATCHES_UNKNOWN),
        (trainer(0), 40, 1),
    ],
)
def test_the_longest_a_fit_can_be(who: Any, batches: int, most: int) -> None:
    assert terms.most_batches(who, batches) == most


def test_the_whole_fit_is_set_aside_unless_a_budget_is_given() -> None:
    rules = Parameters(price_per_batch=Money(7))
    assert terms.budget(0, 100, rules, Money(1000)) == 700
    assert terms.budget(50, 100, rules, Money(1000)) == 50


def test_a_price_above_the_balance_is_said_in_numbers() -> None:
    with pytest.raises(InsufficientBalance, match="700 credits, the balance 699 credits"):
        terms.budget(0, 100, Parameters(price_per_batch=Money(7)), Money(699))


def test_the_network_s_rules_stand_but_for_what_the_job_asks() -> None:
    config = resolve({}, {"audit": "full", "segment_seconds": 2}, {}, Path("/"))
    found = terms.parameters(EMBEDDED, config, 3)
    assert found.audit_rate_ppm == 1_000_000
    assert found.verifiers_per_segment == 3
    assert found.segment_target_ms == 2000
    assert found.lease_ms == EMBEDDED.lease_ms
    assert terms.parameters(EMBEDDED, resolve({}, {}, {}, Path("/")), 1).segment_target_ms == 5000
