"""The numbers a fit logged, each with the proof that it stands under its segment's outputs root.

A report lists at most `CALLS_MAX` calls that log numbers for every set of names that was logged
together, evenly chosen. The proofs say that a listed number was logged and replayed like the
state; they do not say that the list is complete.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import SAFE_INTEGER_MAX, json_bytes, parse_json
from gensyn_lightning.protocol.digest import parse_digest
from gensyn_lightning.protocol.merkle import InclusionProof, verify_inclusion
from gensyn_lightning.report.case import Case
from gensyn_lightning.report.finding import Findings, Left, Level, must
from gensyn_lightning.report.shape import Count, Hex, ListOf, Members, Text
from gensyn_lightning.report.written import OUTPUTS_BYTES_MAX, PROOF_MAX, leaves_of

CALLS_MAX, SETS_MAX = 100, 8
CALL_BYTES_MAX = 4096
NAMES_MAX = 32
METHODS = frozenset({"log_metrics", "experiment.log_metrics"})
ROWS_MAX = CALLS_MAX * SETS_MAX
CALL = Members(
    {
        "segment": Count(),
        "call": Text(CALL_BYTES_MAX),
        "index": Count(),
        "count": Count(),
        "siblings": ListOf(Hex(32), PROOF_MAX),
    }
)
Curves = dict[str, list[tuple[int, float]]]


def collect(outputs: Sequence[bytes]) -> list[dict[str, Any]]:
    """Return a row for each call that is listed, from every segment's outputs, in order."""
    places: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    values = [parse_json(data, bytes_max=OUTPUTS_BYTES_MAX) for data in outputs]
    for segment, value in enumerate(values):
        for place, call in enumerate(value["calls"]):
            names = tuple(name for name, _, _ in points(call))
            if names and len(json_bytes(call)) <= CALL_BYTES_MAX:
                places.setdefault(names, []).append((segment, place))
    chosen = [each for found in list(places.values())[:SETS_MAX] for each in _evenly(found)]
    return [_row(values[segment], segment, place) for segment, place in sorted(chosen)]


def check(findings: Findings, case: Case, rows: Sequence[Mapping[str, Any]]) -> None:
    """Check that every listed call stands under the outputs root of its segment."""
    name = "numbers stand under their outputs roots"
    findings.run(Level.RECORDS, name, lambda: _check(case, rows))


def curves(rows: Sequence[Mapping[str, Any]]) -> Curves:
    """Return the numbers of listed calls by name, over the step they were logged at."""
    return joined(json.loads(row["call"]) for row in rows)


def joined(calls: Iterator[Any]) -> Curves:
    """Return the numbers of calls by name; where loggers say the same, the first one's count."""
    found: Curves = {}
    owner: dict[str, Any] = {}
    for call in calls:
        for name, step, value in points(call):
            if owner.setdefault(name, call[1]) == call[1]:
                found.setdefault(name, []).append((step, value))
    return found


def numbers(call: Any) -> tuple[int | None, dict[str, float]]:
    """Return the step and the numbers of a call as outputs hold it; no numbers for other calls."""
    match call:
        case [int(), int(), str(method), {"tree": [list(args), {"$dict": list(named)}]}] if (
            method in METHODS
        ):
            given = dict(zip(("metrics", "step"), args, strict=False)) | _pairs(named)
        case _:
            return None, {}
    metrics, step = given.get("metrics"), given.get("step")
    pairs = _pairs(metrics.get("$dict")) if isinstance(metrics, dict) else {}
    found = {
        name: number
        for name, value in list(pairs.items())[:NAMES_MAX]
        if (number := _number(value)) is not None
    }
    return step if type(step) is int else None, found


def points(call: Any) -> list[tuple[str, int, float]]:
    """Return the numbers of a call that are points of curves, with the step they stand at."""
    step, found = numbers(call)
    if step is None:
        return []
    return [(name, step, number) for name, number in found.items() if name != "epoch"]


def _check(case: Case, rows: Sequence[Mapping[str, Any]]) -> str | Left:
    if not rows:
        return Left("the report lists none")
    standing = case.standing
    places = [(row["segment"], row["index"]) for row in rows]
    must(places == sorted(set(places)), "a call is listed twice, or out of order")
    for row in rows:
        must(row["segment"] < len(standing), "a call was made by no segment")
        call = parse_json(row["call"].encode(), bytes_max=CALL_BYTES_MAX)
        must(bool(points(call)), "a call logs no number")
        _, claim = standing[row["segment"]]
        siblings = tuple(parse_digest(each) for each in row["siblings"])
        proof = InclusionProof(row["index"], row["count"], siblings)
        verify_inclusion(json_bytes(["call", call]), proof, claim.outputs_root)
    return f"{len(rows)} calls"


def _row(value: Mapping[str, Any], segment: int, place: int) -> dict[str, Any]:
    stood = leaves_of(value)
    proof = merkle.prove(stood, len(stood) - len(value["calls"]) + place)
    return {
        "segment": segment,
        "call": json_bytes(value["calls"][place]).decode(),
        "index": proof.index,
        "count": proof.count,
        "siblings": [sibling.hex() for sibling in proof.siblings],
    }


def _evenly(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return at most `CALLS_MAX` of them, the first and the last among them."""
    if len(found) <= CALLS_MAX:
        return found
    last = len(found) - 1
    return [found[at * last // (CALLS_MAX - 1)] for at in range(CALLS_MAX)]


def _pairs(value: Any) -> dict[str, Any]:
    """Return the entries of a dict as a tree holds them, those with a text for a key."""
    if not isinstance(value, list):
        return {}
    return {
        each[0]: each[1]
        for each in value
        if isinstance(each, list) and len(each) == 2 and isinstance(each[0], str)
    }


def _number(value: Any) -> float | None:
    match value:
        case bool():
            return None
        case int():
            return float(value) if abs(value) <= SAFE_INTEGER_MAX else None
        case {"$float": str(text)}:
            try:
                return math.nan if text.startswith("nan:") else float.fromhex(text)
            except (ValueError, OverflowError):
                return None
    return None
