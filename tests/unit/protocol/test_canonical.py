"""Records have one form: EIP-712's, as any wallet computes it; files have one form: RFC 8785's."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.identity.delegation import Delegation
from gensyn_lightning.protocol import canonical
from gensyn_lightning.protocol.assignment import Candidate, Draw, Seed, Ticket
from gensyn_lightning.protocol.canonical import (
    Domain,
    domain_separator,
    encode,
    encode_type,
    json_bytes,
    parse_json,
    signing_digest,
    struct_hash,
    type_hash,
)
from gensyn_lightning.protocol.commitment import Commitment, SaltedWitness, StoreReceipt
from gensyn_lightning.protocol.digest import Address, Digest, Money, Nonce, keccak
from gensyn_lightning.protocol.job import Job, JobName
from gensyn_lightning.protocol.parameters import Parameters
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.settlement import Payment, Settlement, Work
from gensyn_lightning.protocol.task import Task
from gensyn_lightning.protocol.verdict import BlindReport, Difference, Replay
from gensyn_lightning.training.leaf import StateLeaf

VECTORS = Path(__file__).parents[2] / "vectors/protocol/records.json"
DOMAIN = Domain(685685, Address(bytes(range(1, 21))))
RECORDS = (
    BlindReport,
    Candidate,
    Commitment,
    Delegation,
    Difference,
    Draw,
    Job,
    JobName,
    Parameters,
    Payment,
    Receipt,
    Replay,
    SaltedWitness,
    Seed,
    Settlement,
    StateLeaf,
    StoreReceipt,
    Task,
    Ticket,
    Work,
)
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
        int: st.integers(0, 2**64 - 1),
        bool: st.booleans(),
        str: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    }
    return plain[kind]


def sample(kind: Any, salt: str) -> Any:
    """Return one fixed value for a field, different for every field."""
    drop = keccak(salt.encode())
    if kind in WIDTHS:
        return drop[: WIDTHS[kind]]
    if get_origin(kind) is tuple:
        return tuple(sample(get_args(kind)[0], f"{salt}.{index}") for index in range(2))
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        names = [each.name for each in fields(kind)]
        return kind(**{name: sample(hints[name], f"{salt}.{name}") for name in names})
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        return list(kind)[drop[0] % len(kind)]
    made = {str: f"{salt} é", bool: bool(drop[0] & 1), int: int.from_bytes(drop[:6], "big")}
    return made.get(kind, int.from_bytes(drop[:16], "big"))


def plain(value: Any) -> Any:
    """Return a record as the message a wallet is given."""
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return int(value) if isinstance(value, IntEnum) else value


def types_of(record_type: type) -> dict[str, list[dict[str, str]]]:
    """Return a wallet's `types`, read from our own `encodeType`."""
    found = {}
    for part in encode_type(record_type).split(")")[:-1]:
        name, members = part.split("(")
        pairs = [each.split(" ") for each in members.split(",")]
        found[name] = [{"type": kind, "name": field} for kind, field in pairs]
    return found


def by_wallet(record: Any, domain: Domain) -> Any:
    return encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                **types_of(type(record)),
            },
            "primaryType": type(record).__name__,
            "domain": {
                "name": "Gensyn",
                "version": "1",
                "chainId": domain.chain_id,
                "verifyingContract": "0x" + domain.escrow.hex(),
            },
            "message": plain(record),
        }
    )


@pytest.mark.parametrize("record_type", RECORDS)
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_wallet_computes_the_digest_we_sign(record_type: type, data: st.DataObject) -> None:
    record = data.draw(values(record_type))
    signable = by_wallet(record, DOMAIN)
    assert signable.header == domain_separator(DOMAIN)
    assert signable.body == struct_hash(record)
    expected = keccak(b"\x19" + signable.version + signable.header + signable.body)
    assert signing_digest(record, DOMAIN) == expected


def test_every_record_of_the_protocol_is_listed_here() -> None:
    import importlib
    import pkgutil

    import gensyn_lightning.protocol as package

    machines = {"attempt", "audit", "job", "task", "merkle", "canonical"}
    for each in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{each.name}")
        for kind in vars(module).values():
            ours = isinstance(kind, type) and is_dataclass(kind)
            if ours and kind.__module__ == module.__name__ and each.name not in machines:
                assert kind in RECORDS, kind


@pytest.mark.parametrize("record_type", RECORDS)
def test_every_field_is_part_of_the_digest(record_type: type) -> None:
    first = sample(record_type, "first")
    hints = get_type_hints(record_type)
    for each in fields(record_type):
        changed = dict(vars_of(first))
        changed[each.name] = sample(hints[each.name], "other")
        if changed[each.name] == getattr(first, each.name):
            continue
        assert struct_hash(record_type(**changed)) != struct_hash(first)


def vars_of(record: Any) -> dict[str, Any]:
    return {each.name: getattr(record, each.name) for each in fields(record)}


def test_no_two_records_share_a_tag() -> None:
    assert len({type_hash(each) for each in RECORDS}) == len(RECORDS)


def test_a_signature_counts_on_one_chain_and_contract() -> None:
    record = sample(Task, "task")
    others = [Domain(1, DOMAIN.escrow), Domain(685685, Address(bytes(20)))]
    digests = {signing_digest(record, each) for each in (DOMAIN, *others)}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("index", -1),
        ("index", 2**64),
        ("index", "3"),
        ("index", 1.0),
        ("index", None),
        ("job", b"short"),
        ("job", "0" * 32),
        ("job", bytes(33)),
    ],
)
def test_a_field_of_the_wrong_kind_is_malformed(name: str, value: object) -> None:
    record = Task(**{**vars_of(sample(Task, "task")), name: value})
    with pytest.raises(Malformed):
        encode(record)


def test_what_is_no_record_is_malformed() -> None:
    @dataclass(frozen=True)
    class Loose:
        number: float

    for each in (3, "x", Loose(1.0)):
        with pytest.raises(Malformed):
            encode(each)
    with pytest.raises(Malformed):
        encode(Difference(3, "a", "b"))  # type: ignore[arg-type]
    with pytest.raises(Malformed, match="surrogate"):
        encode(Difference("\ud800", "a", "b"))


# Member order as in RFC 8785, section 3.2.3: by UTF-16 code units, not by code points.
RFC_ORDER = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_members_stand_in_the_order_of_rfc_8785() -> None:
    shuffled = dict.fromkeys(sorted(RFC_ORDER), 0)
    assert list(json.loads(json_bytes(shuffled))) == RFC_ORDER


def test_text_is_escaped_as_rfc_8785_says() -> None:
    text = '\u20ac$\u000f\nA\'B"\\\\"/\b\t\f\r\x7f\u2028'
    expected = '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\\b\\t\\f\\r\x7f\u2028"'
    assert json_bytes(text) == expected.encode()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("a\u20ac\ufb33\U0001f600\r"), inner),
    max_leaves=20,
)


@given(json_values)
def test_canonical_json_is_read_back_and_stands_alone(value: Any) -> None:
    data = json_bytes(value)
    assert parse_json(data, bytes_max=len(data)) == value
    assert json.loads(data) == value
    with pytest.raises(LimitExceeded):
        parse_json(data, bytes_max=len(data) - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" 1",
        b"1 ",
        b"1.0",
        b"1e3",
        b"-0",
        b"NaN",
        b"Infinity",
        b"9007199254740992",
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a": 1}',
        b'"\\u0041"',
        b'"\\ud800"',
        b'"\\/"',
        b"\xff",
        b"\xef\xbb\xbf1",
        b"[" * 70 + b"]" * 70,
        b"[" * 100_000,
        "[\ufb33]".encode(),
        '{"\ufb33":1,"\U0001f600":2}'.encode(),
    ],
)
def test_json_in_any_other_form_is_refused(data: bytes) -> None:
    with pytest.raises((Malformed, LimitExceeded)):
        parse_json(data, bytes_max=1 << 20)


def test_brackets_are_counted_outside_of_text_only() -> None:
    for value in ("[" * 500, '"[' * 200, "\\[" * 200, ['\\"', "[[", {"[{": "]"}]):
        assert parse_json(json_bytes(value), bytes_max=1 << 20) == value


def test_deep_brackets_end_no_process_where_recursion_is_deep() -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        for data in (b"[" * 10**6, b'{"a":' * 10**6, b'["\\"",' + b"[" * 10**6):
            with pytest.raises(LimitExceeded):
                parse_json(data, bytes_max=1 << 24)
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("value", [1.0, b"x", {1: 2}, {"\ud800": 1}, ["\udfff"], 2**53, {1, 2}])
def test_what_has_no_canonical_json_is_malformed(value: Any) -> None:
    with pytest.raises(Malformed):
        json_bytes(value)


def test_json_nested_too_deeply_exceeds_the_limit() -> None:
    value: Any = 1
    for _ in range(canonical.JSON_DEPTH_MAX):
        value = [value]
    json_bytes(value)
    with pytest.raises(LimitExceeded):
        json_bytes([value])


def vectors() -> dict[str, Any]:
    """Return a sample of every record with everything a contract or wallet must agree on."""
    found = []
    for each in RECORDS:
        record = sample(each, each.__name__)
        found.append(
            {
                "record": each.__name__,
                "encode_type": encode_type(each),
                "type_hash": type_hash(each).hex(),
                "message": readable(record),
                "encoded": encode(record).hex(),
                "struct_hash": struct_hash(record).hex(),
                "signing_digest": signing_digest(record, DOMAIN).hex(),
            }
        )
    domain = {"chain_id": DOMAIN.chain_id, "escrow": DOMAIN.escrow.hex()}
    return {"domain": domain | {"separator": domain_separator(DOMAIN).hex()}, "records": found}


def readable(value: Any) -> Any:
    """Return a message as JSON: bytes as hexadecimal, amounts as decimal text."""
    if is_dataclass(value):
        hints = get_type_hints(type(value))
        found = {each.name: readable(getattr(value, each.name)) for each in fields(value)}
        return {key: str(each) if hints[key] is Money else each for key, each in found.items()}
    if isinstance(value, tuple):
        return [readable(each) for each in value]
    if isinstance(value, bytes):
        return value.hex()
    return int(value) if isinstance(value, IntEnum) else value


def test_records_keep_their_golden_bytes() -> None:
    assert vectors() == json.loads(VECTORS.read_text())


def test_the_page_about_the_bytes_lists_what_is_signed() -> None:
    page = (Path(__file__).parents[3] / "docs/protocol.md").read_text()
    unsigned = {Candidate, Difference, Settlement, Work}
    for each in RECORDS:
        first = encode_type(each).split(")")[0] + ")"
        assert each in unsigned or f"`{first}`" in page, each


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n")
