from dataclasses import fields
from typing import Any

from gensyn_lightning.protocol.commitment import Outcome
from gensyn_lightning.protocol.digest import Address, Digest, Nonce
from gensyn_lightning.protocol.verdict import Replay
from gensyn_lightning.training.request import SegmentResult


def digest(number: int) -> Digest:
    return Digest(bytes([number]) * 32)


def test_what_a_runner_found_becomes_the_record_that_is_compared() -> None:
    result = SegmentResult(
        outcome=Outcome.RAISED,
        raised=digest(1),
        raised_text="ValueError",
        end_event=7,
        batches=5,
        start_root=digest(2),
        end_root=digest(3),
        tape_root=digest(4),
        witness_root=digest(5),
        outputs_root=digest(6),
        model=digest(7),
        numerics="native:0",
        seconds=1.0,
        hash_seconds=0.5,
        epoch_batches=40,
    )
    given: dict[str, Any] = {
        "commitment": digest(8),
        "verifier": Address(b"\1" * 20),
        "draw": digest(9),
        "nonce": Nonce(b"\2" * 16),
    }

    replay = result.as_replay(**given)

    for each in fields(Replay):
        expected = given[each.name] if each.name in given else getattr(result, each.name)
        assert getattr(replay, each.name) == expected, each.name
