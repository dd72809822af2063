"""Records survive JSON, and JSON that is no record is refused."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.protocol import jsonform
from gensyn_lightning.protocol.canonical import json_bytes, parse_json
from gensyn_lightning.protocol.commitment import Commitment, Outcome, StoreReceipt
from gensyn_lightning.protocol.digest import ZERO, Address, Digest, Money, Nonce
from gensyn_lightning.protocol.job import Job
from gensyn_lightning.protocol.jsonform import from_json, to_json
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.settlement import Payment, Settlement
from gensyn_lightning.protocol.task import Task
from gensyn_lightning.protocol.verdict import Replay

RECORDS = (Commitment, Job, Payment, Receipt, Replay, Settlement, StoreReceipt, Task)
WIDTHS = {Digest: 32, Address: 20, Nonce: 16}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return values for a field of type `kind`."""
    if kind in WIDTHS:
        return st.binary(min_size=WIDTHS[kind], max_size=WIDTHS[kind])
    if get_origin(kind) is tuple:
        return st.lists(values(get_args(kind)[0]), max_size=3).map(tuple)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{each.name: values(hints[each.name]) for each in fields(kind)})
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        return st.sampled_from(list(kind))
    plain: dict[Any, st.SearchStrategy[Any]] = {
        Money: st.integers(0, 2**256 - 1),
        int: st.integers(0, 2**53 - 1),
        bool: st.booleans(),
        str: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    }
    return plain[kind]


@pytest.mark.parametrize("record_type", RECORDS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_record_comes_back_from_its_json(record_type: type, data: st.DataObject) -> None:
    record = data.draw(values(record_type))
    text = json_bytes(to_json(record))
    assert from_json(record_type, parse_json(text, bytes_max=1 << 20)) == record


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("record_type", RECORDS)
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_record_with_one_odd_field_is_refused_or_still_says_it(
    record_type: type, data: st.DataObject
) -> None:
    value = to_json(data.draw(values(record_type)))
    name = data.draw(st.sampled_from(sorted(value)))
    value[name] = data.draw(anything)
    try:
        record = from_json(record_type, value)
    except (Malformed, LimitExceeded):
        return
    assert to_json(record) == value


TASK = to_json(Task(ZERO, 1, 2, 3, ZERO))
RECEIPT = to_json(StoreReceipt((ZERO,), 5, Address(bytes(20))))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {},
        {**TASK, "more": 1},
        {key: each for key, each in TASK.items() if key != "job"},
        {**TASK, "index": -1},
        {**TASK, "index": 2**64},
        {**TASK, "index": True},
        {**TASK, "index": 1.0},
        {**TASK, "index": "1"},
        {**TASK, "job": "00"},
        {**TASK, "job": "AA" * 32},
        {**TASK, "job": "0x" + "00" * 31},
        {**TASK, "job": None},
    ],
)
def test_what_is_no_task_is_malformed(value: Any) -> None:
    with pytest.raises(Malformed):
        from_json(Task, value)


@pytest.mark.parametrize("amount", ["", "-1", "01", "1.0", "0x1", " 1", "\u0661", str(2**256), 1])
def test_what_is_no_amount_is_malformed(amount: Any) -> None:
    with pytest.raises(Malformed):
        from_json(Payment, {"to": "00" * 20, "amount": amount})
    assert from_json(Payment, {"to": "00" * 20, "amount": "0"}).amount == 0


def test_enums_are_their_names() -> None:
    replay = Replay(
        ZERO, Address(bytes(20)), ZERO, 1, 1, Outcome.RAISED, ZERO, ZERO, ZERO, ZERO, ZERO, "n",
        Nonce(bytes(16)),
    )  # fmt: skip
    value = to_json(replay)
    assert value["outcome"] == "RAISED"
    for odd in ("raised", "2", 2, "__class__", "name"):
        with pytest.raises(Malformed):
            from_json(Replay, {**value, "outcome": odd})


def test_texts_and_lists_are_bounded() -> None:
    with pytest.raises(LimitExceeded):
        from_json(Task, {**TASK, "job": "0" * 513})
    with pytest.raises(LimitExceeded):
        from_json(StoreReceipt, {**RECEIPT, "artifacts": ["00" * 32] * (jsonform.LIST_MAX + 1)})
    with pytest.raises(Malformed):
        from_json(StoreReceipt, {**RECEIPT, "artifacts": "00"})


def test_half_a_character_is_malformed() -> None:
    @dataclass(frozen=True)
    class Note:
        text: str

    with pytest.raises(Malformed, match="surrogate"):
        from_json(Note, {"text": "\ud800"})


def test_a_record_may_state_a_smaller_bound() -> None:
    assert from_json(Short, {"items": ["00" * 32] * 2}).items == (ZERO, ZERO)
    with pytest.raises(LimitExceeded):
        from_json(Short, {"items": ["00" * 32] * 3})


@dataclass(frozen=True)
class Short:
    LIST_MAX: ClassVar[int] = 2
    items: tuple[Digest, ...]
