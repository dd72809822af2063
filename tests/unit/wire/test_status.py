from random import Random

import grpc
import pytest

from gensyn_lightning import errors
from gensyn_lightning.wire.status import HINT_KEY, NAME_KEY, from_status, to_status

TREE = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.GensynError)
]


@pytest.mark.parametrize("kind", TREE, ids=lambda each: each.__name__)
@pytest.mark.parametrize("hint", ["", "wait, then ask ägain"])
def test_an_error_comes_back_as_it_went(kind: type[errors.GensynError], hint: str) -> None:
    sent = kind("what happened", hint=hint)
    status = to_status(sent)

    found = from_status(status.code, status.details, status.metadata)

    assert type(found) is kind
    assert (found.args, found.hint) == (sent.args, sent.hint)
    assert status.code not in {grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN}


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda each: each.name)
def test_any_status_of_a_stranger_is_one_of_our_errors(code: grpc.StatusCode) -> None:
    found = from_status(code, None, ())

    assert isinstance(found, errors.GensynError)


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, "connection refused", errors.CoordinatorUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many", errors.CoordinatorUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "message larger than max", errors.LimitExceeded),
        (grpc.StatusCode.PERMISSION_DENIED, "", errors.Unauthenticated),
        (grpc.StatusCode.ABORTED, "", errors.LeaseLost),
    ],
)
def test_a_status_without_a_name_is_what_it_most_likely_means(
    code: grpc.StatusCode, details: str, kind: type[errors.GensynError]
) -> None:
    assert type(from_status(code, details, ())) is kind


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "__class__", "", "\x00"])
def test_a_name_outside_the_tree_means_nothing(name: str) -> None:
    found = from_status(grpc.StatusCode.NOT_FOUND, "gone", ((NAME_KEY, name),))

    assert type(found) is errors.NotFound


def test_whatever_a_server_sends_it_is_read(random: Random) -> None:
    for _ in range(1000):
        hint = random.randbytes(random.randrange(8000))
        found = from_status(
            grpc.StatusCode.INTERNAL,
            "x" * random.randrange(8000),
            ((HINT_KEY, hint), (NAME_KEY, hint), ("other", "1")),
        )
        assert len(str(found)) < 9000


def test_long_messages_are_cut_where_a_letter_ends() -> None:
    status = to_status(errors.Malformed("ä" * 5000, hint="ö" * 5000))

    assert status.details == "ä" * 1024
    assert dict(status.metadata)[HINT_KEY] == "ö".encode() * 1024
