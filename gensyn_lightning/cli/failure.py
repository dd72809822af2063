"""Every way a verb can fail, by the code programs read and the status the process exits with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gensyn_lightning import errors
from gensyn_lightning.cli.advice import advice
from gensyn_lightning.errors import GensynError

FAILED, USAGE, TIMED_OUT, INTERRUPTED = 1, 2, 124, 130

# Programs depend on these words; a class may be renamed, its code stays.
CODES: Mapping[type[GensynError], str] = MappingProxyType(
    {
        errors.GensynError: "error",
        errors.ConfigError: "config",
        errors.CaptureError: "capture",
        errors.VersionSkew: "version-skew",
        errors.NotReplayable: "not-replayable",
        errors.StateError: "state",
        errors.ProgramRaised: "program-raised",
        errors.ProtocolError: "protocol",
        errors.InvalidTransition: "invalid-transition",
        errors.InvalidProof: "invalid-proof",
        errors.Malformed: "malformed",
        errors.LimitExceeded: "limit-exceeded",
        errors.NetworkError: "network",
        errors.CoordinatorUnavailable: "coordinator-unavailable",
        errors.Unauthenticated: "unauthenticated",
        errors.NotFound: "not-found",
        errors.LeaseLost: "lease-lost",
        errors.TimedOut: "timed-out",
        errors.LedgerError: "ledger",
        errors.TransactionReverted: "transaction-reverted",
        errors.InsufficientBalance: "insufficient-balance",
        errors.ArtifactError: "artifact",
        errors.ReportError: "report",
        errors.Unreadable: "unreadable",
        errors.SandboxError: "sandbox",
        errors.ProgramError: "program",
        errors.NotReproducible: "not-reproducible",
    }
)
# Failures that are no errors of ours: a command line nobody can read, Ctrl-C, anything else that
# was raised, by a program that is being trained above all.
MISUSED, STOPPED, CRASHED = "usage", "interrupted", "exception"


@dataclass(frozen=True, slots=True)
class Failure:
    """What is said of a failure, and the exit status that goes with it."""

    code: str
    message: str
    hint: str = ""
    status: int = FAILED


def failure_of(error: GensynError) -> Failure:
    """Return what is said of an error of ours."""
    code = next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    message = str(error.args[0]) if error.args else code
    status = TIMED_OUT if isinstance(error, errors.TimedOut) else FAILED
    return Failure(code, message, error.hint, status)


def misuse(error: Any) -> Failure:
    """Return what is said of a command line that cannot be read."""
    context = error.ctx
    verb = context.command_path if context else "gensyn"
    said = error.format_message().rstrip(".") or "a command is missing"
    return Failure(MISUSED, said, f"see `{verb} --help`", USAGE)


def interruption() -> Failure:
    """Return what is said after Ctrl-C."""
    return Failure(STOPPED, "stopped by Ctrl-C", status=INTERRUPTED)


def crash(error: Exception) -> Failure:
    """Return what is said of an exception that is none of ours, below its traceback."""
    return Failure(CRASHED, f"{type(error).__name__}: {error}", advice(error))
