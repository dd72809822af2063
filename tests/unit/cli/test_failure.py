"""Programs read codes: none changes by accident, and every failure has one."""

import pytest

from gensyn_lightning import errors
from gensyn_lightning.cli.failure import CODES, Failure, crash, failure_of, interruption
from gensyn_lightning.errors import GensynError

PINNED = {
    "GensynError": "error",
    "ConfigError": "config",
    "CaptureError": "capture",
    "VersionSkew": "version-skew",
    "NotReplayable": "not-replayable",
    "StateError": "state",
    "ProgramRaised": "program-raised",
    "ProtocolError": "protocol",
    "InvalidTransition": "invalid-transition",
    "InvalidProof": "invalid-proof",
    "Malformed": "malformed",
    "LimitExceeded": "limit-exceeded",
    "NetworkError": "network",
    "CoordinatorUnavailable": "coordinator-unavailable",
    "Unauthenticated": "unauthenticated",
    "NotFound": "not-found",
    "LeaseLost": "lease-lost",
    "TimedOut": "timed-out",
    "LedgerError": "ledger",
    "TransactionReverted": "transaction-reverted",
    "InsufficientBalance": "insufficient-balance",
    "ArtifactError": "artifact",
    "ReportError": "report",
    "Unreadable": "unreadable",
    "SandboxError": "sandbox",
    "ProgramError": "program",
    "NotReproducible": "not-reproducible",
}


def test_the_table_of_codes_is_pinned() -> None:
    assert {kind.__name__: code for kind, code in CODES.items()} == PINNED


def test_every_error_has_a_code_of_its_own() -> None:
    found = {each for each in vars(errors).values() if isinstance(each, type)}
    assert {each for each in found if issubclass(each, GensynError)} == CODES.keys()
    assert len(set(CODES.values())) == len(CODES)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (errors.NotFound("no job", hint="look"), Failure("not-found", "no job", "look", 1)),
        (errors.TimedOut("too slow"), Failure("timed-out", "too slow", "", 124)),
    ],
)
def test_an_error_is_said_with_its_code_and_status(error: GensynError, failure: Failure) -> None:
    assert failure_of(error) == failure


def test_an_error_without_a_code_has_that_of_its_family() -> None:
    class Stranger(errors.LedgerError):
        """An error somebody forgot to enter."""

    assert failure_of(Stranger("what")).code == "ledger"


def test_what_is_none_of_ours_has_a_code_too() -> None:
    assert crash(ValueError("no")) == Failure("exception", "ValueError: no", "", 1)
    assert (interruption().code, interruption().status) == ("interrupted", 130)
