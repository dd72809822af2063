from dataclasses import dataclass, fields, is_dataclass, replace
from random import Random
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from google.protobuf.message_factory import GetMessageClass

from gensyn_lightning import protocol
from gensyn_lightning.errors import LimitExceeded, Malformed, ProtocolError
from gensyn_lightning.protocol import canonical, commitment, job, parameters, receipt, task, verdict
from gensyn_lightning.protocol.digest import Address, Digest, Money
from gensyn_lightning.protocol.task import Task
from gensyn_lightning.wire import codec, jobs, nodes, transfer

MESSAGES = [each for file in codec.FILES for each in file.message_types_by_name.values()]
HOMES = (canonical, commitment, job, parameters, receipt, task, verdict, jobs, nodes, transfer)
RECORDS = {
    each.__name__: each
    for home in HOMES
    for each in vars(home).values()
    if isinstance(each, type) and is_dataclass(each)
}
TRAVELLING = [RECORDS[each.name] for each in MESSAGES]
TASK = Task(Digest(b"j" * 32), 1, 2, 3, Digest(b"s" * 32))
NETWORK = jobs.NetworkResponse(
    canonical.Domain(1, Address(bytes(20))),
    Address(bytes(20)),
    Address(bytes(20)),
    parameters.Parameters(),
    (),
    "0.1.0",
    True,
)
UNKNOWN_FIELD = bytes.fromhex("f8ffffff0701")


def name(record_type: type) -> str:
    return record_type.__name__


@pytest.mark.parametrize("record_type", TRAVELLING, ids=name)
def test_a_record_comes_back_as_it_went(record_type: type, sample: Any, random: Random) -> None:
    for _ in range(20):
        record = sample(record_type, random)

        assert codec.decode(record_type, codec.encode(record)) == record


@pytest.mark.parametrize("record_type", TRAVELLING, ids=name)
def test_a_field_left_out_is_noticed(record_type: type, sample: Any, random: Random) -> None:
    hints = get_type_hints(record_type)
    for each in fields(record_type):
        message = codec.to_message(sample(record_type, random))
        message.ClearField(each.name)
        kind = hints[each.name]
        if get_origin(kind) is tuple or NoneType in get_args(kind):
            codec.from_message(record_type, message)
        else:
            with pytest.raises(Malformed, match=f"{each.name} is missing"):
                codec.from_message(record_type, message)


@pytest.mark.parametrize("record_type", TRAVELLING, ids=name)
def test_an_unknown_field_is_refused(record_type: type, sample: Any, random: Random) -> None:
    data = codec.encode(sample(record_type, random)) + UNKNOWN_FIELD

    with pytest.raises(Malformed, match="unknown fields"):
        codec.decode(record_type, data)


def test_an_unknown_field_deep_inside_is_refused() -> None:
    message = codec.to_message(NETWORK)
    message.parameters.MergeFromString(UNKNOWN_FIELD)

    with pytest.raises(Malformed, match="Parameters has unknown fields"):
        codec.decode(jobs.NetworkResponse, message.SerializeToString())


@pytest.mark.parametrize("record_type", TRAVELLING, ids=name)
def test_damaged_bytes_are_a_record_or_refused(
    record_type: type, sample: Any, random: Random
) -> None:
    for _ in range(300):
        data = bytearray(codec.encode(sample(record_type, random)))
        for _ in range(random.randrange(1, 4)):
            if data and random.random() < 0.7:
                data[random.randrange(len(data))] = random.randrange(256)
            else:
                del data[random.randrange(len(data) + 1) :]
                data += random.randbytes(random.randrange(8))
        try:
            record = codec.decode(record_type, bytes(data))
        except ProtocolError:
            continue
        assert codec.decode(record_type, codec.encode(record)) == record


@pytest.mark.parametrize("size", [0, 31, 33, 1 << 20])
def test_a_digest_of_another_size_is_malformed_both_ways(size: int) -> None:
    message = codec.to_message(TASK)
    message.job = bytes(size)

    with pytest.raises(Malformed, match="job must be 32 bytes"):
        codec.from_message(Task, message)
    with pytest.raises(Malformed, match="job must be 32 bytes"):
        codec.encode(replace(TASK, job=Digest(bytes(size))))


@pytest.mark.parametrize("text", ["", "01", "-1", "+1", "1e3", " 1", "٣", "1" * 79, str(2**256)])
def test_money_is_written_in_one_way(text: str) -> None:
    message = codec.to_message(parameters.Parameters())
    message.price_per_batch = text

    with pytest.raises(Malformed, match="price_per_batch"):
        codec.from_message(parameters.Parameters, message)


@pytest.mark.parametrize("amount", [-1, 2**256])
def test_money_out_of_range_does_not_leave(amount: int) -> None:
    with pytest.raises(Malformed):
        codec.encode(parameters.Parameters(price_per_batch=Money(amount)))


@pytest.mark.parametrize(
    "change", [{"index": -1}, {"index": 2**64}, {"index": True}, {"index": "1"}, {"index": None}]
)
def test_what_is_no_record_does_not_leave(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        codec.encode(replace(TASK, **change))


@pytest.mark.parametrize("number", [0, 99])
def test_an_enum_value_nobody_defined_is_malformed(number: int) -> None:
    message = codec.to_message(nodes.Command(nodes.CommandKind.CANCEL, Digest(bytes(32))))
    message.kind = number

    with pytest.raises(Malformed, match="kind has no value"):
        codec.from_message(nodes.Command, message)


def test_bounds_hold_both_ways() -> None:
    many = tuple(Digest(bytes(32)) for _ in range(codec.LIST_MAX + 1))
    long = nodes.FailRequest(Digest(bytes(32)), 1, "x" * 513)
    large = transfer.Chunk(0, bytes(codec.BYTES_MAX + 1))
    for record in (transfer.MissingRequest(many), long, large):
        with pytest.raises(LimitExceeded):
            codec.encode(record)
    message = GetMessageClass(codec.to_message(TASK).DESCRIPTOR)
    with pytest.raises(LimitExceeded, match="message of"):
        codec.decode(Task, bytes((4 << 20) + 1))
    fail = codec.to_message(replace(long, reason="x"))
    fail.reason = "x" * 513
    with pytest.raises(LimitExceeded, match="reason"):
        codec.from_message(nodes.FailRequest, fail)
    assert message is codec.message_class(Task)


def test_half_a_character_does_not_leave() -> None:
    with pytest.raises(Malformed, match="reason is no text"):
        codec.encode(nodes.FailRequest(Digest(bytes(32)), 1, "\ud800"))


def test_a_record_whose_message_differs_is_refused() -> None:
    @dataclass(frozen=True)
    class Task:
        job: bytes

    @dataclass(frozen=True)
    class Unheard:
        job: bytes

    with pytest.raises(Malformed, match="differ in"):
        codec.encode(Task(b""))
    with pytest.raises(Malformed, match="no message carries"):
        codec.encode(Unheard(b""))
    with pytest.raises(Malformed, match="is no record"):
        codec.encode(protocol)
