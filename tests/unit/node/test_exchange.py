"""Requests and results survive the way to a runner and back."""

from pathlib import Path

import pytest

from gensyn_lightning.errors import LimitExceeded, Malformed, SandboxError, VersionSkew
from gensyn_lightning.node import exchange
from gensyn_lightning.protocol.commitment import Outcome
from gensyn_lightning.protocol.digest import ZERO, digest_of
from gensyn_lightning.training.request import SegmentRequest, SegmentResult

REQUEST = SegmentRequest(digest_of(b"m"), Path("/a"), None, 0, 16, ZERO, Path("/t"), perturb=1)
RESULT = SegmentResult(
    Outcome.RAISED,
    digest_of(b"r"),
    "ValueError",
    7,
    3,
    *[digest_of(b"x")] * 6,
    "native:0",
    1.5,
    0.1,
    40,
)


def test_requests_and_results_travel_whole() -> None:
    assert exchange.read_request(exchange.write_request(REQUEST)) == REQUEST
    assert exchange.read_result(exchange.write_result(RESULT)) == RESULT


def test_orders_travel_whole() -> None:
    order = exchange.Order("segment", dict(exchange.write_request(REQUEST)), Path("/s"), 5)
    assert exchange.read_order(exchange.order_line(order)) == order
    assert exchange.read_order(exchange.order_line(order)[:-1]) is None


@pytest.mark.parametrize("line", [b"[]\n", b"{}\n", b'{"kind": 1}\n', b"\xff\n", b"\n"])
def test_what_is_no_order_is_refused(line: bytes) -> None:
    with pytest.raises(Malformed):
        exchange.read_order(line)


def test_an_order_is_bounded() -> None:
    long = exchange.Order("segment", {"x": "y" * exchange.REQUEST_BYTES_MAX}, Path("/"))
    with pytest.raises(LimitExceeded):
        exchange.order_line(long)
    with pytest.raises(LimitExceeded):
        exchange.read_order(b" " * (exchange.REQUEST_BYTES_MAX + 1))


def test_a_result_must_have_exactly_its_fields() -> None:
    value = dict(exchange.write_result(RESULT))
    del value["model"]
    with pytest.raises(Malformed):
        exchange.read_result(value)


def test_errors_keep_their_class_only_when_they_are_ours() -> None:
    with pytest.raises(VersionSkew, match="too old"):
        exchange.read_answer(exchange.error_line(VersionSkew("too old")))
    with pytest.raises(SandboxError, match="KeyError"):
        exchange.read_answer(exchange.error_line(KeyError("k")))
    with pytest.raises(SandboxError):
        exchange.read_answer(b'{"error": {"kind": "Path", "message": "m", "hint": ""}}')
