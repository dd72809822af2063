"""The one table between our errors and gRPC's status codes, in both directions.

An error travels as its code, its message, and in trailing metadata its name and hint. A status that
carries no name of ours (a proxy's, or gRPC's own) becomes the error its code most likely means.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import grpc

from gensyn_lightning import errors
from gensyn_lightning.errors import GensynError

NAME_KEY = "gensyn-error"
HINT_KEY = "gensyn-hint-bin"
TEXT_BYTES_MAX = 2048

Metadata = tuple[tuple[str, str | bytes], ...]
Code = grpc.StatusCode

CODES: dict[type[GensynError], grpc.StatusCode] = {
    errors.GensynError: Code.INTERNAL,
    errors.ConfigError: Code.FAILED_PRECONDITION,
    errors.CaptureError: Code.FAILED_PRECONDITION,
    errors.StateError: Code.INVALID_ARGUMENT,
    errors.ProgramRaised: Code.FAILED_PRECONDITION,
    errors.ProtocolError: Code.INVALID_ARGUMENT,
    errors.InvalidTransition: Code.FAILED_PRECONDITION,
    errors.LimitExceeded: Code.RESOURCE_EXHAUSTED,
    errors.NetworkError: Code.UNAVAILABLE,
    errors.Unauthenticated: Code.UNAUTHENTICATED,
    errors.NotFound: Code.NOT_FOUND,
    errors.LeaseLost: Code.ABORTED,
    errors.LedgerError: Code.FAILED_PRECONDITION,
    errors.ArtifactError: Code.DATA_LOSS,
    errors.ReportError: Code.FAILED_PRECONDITION,
    errors.SandboxError: Code.FAILED_PRECONDITION,
    errors.NotReproducible: Code.FAILED_PRECONDITION,
}

ERRORS: dict[grpc.StatusCode, type[GensynError]] = {
    Code.UNAVAILABLE: errors.CoordinatorUnavailable,
    Code.DEADLINE_EXCEEDED: errors.CoordinatorUnavailable,
    Code.CANCELLED: errors.CoordinatorUnavailable,
    Code.UNAUTHENTICATED: errors.Unauthenticated,
    Code.PERMISSION_DENIED: errors.Unauthenticated,
    Code.NOT_FOUND: errors.NotFound,
    Code.ABORTED: errors.LeaseLost,
    Code.INVALID_ARGUMENT: errors.Malformed,
    Code.OUT_OF_RANGE: errors.Malformed,
    Code.FAILED_PRECONDITION: errors.InvalidTransition,
    Code.DATA_LOSS: errors.ArtifactError,
    Code.UNIMPLEMENTED: errors.ConfigError,
}

# gRPC's own refusals have no name of ours: too many calls at once, or a message too large.
_TOO_LARGE = "larger than max"


@dataclass(frozen=True, slots=True)
class Status:
    """What travels for an error."""

    code: grpc.StatusCode
    details: str
    metadata: Metadata


def to_status(error: GensynError) -> Status:
    """Return what travels for `error`."""
    code = next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    hint = ((HINT_KEY, _cut(error.hint)),) if error.hint else ()
    message = str(error.args[0]) if error.args else ""
    return Status(code, _cut(message).decode(), ((NAME_KEY, type(error).__name__), *hint))


def from_status(
    code: grpc.StatusCode, details: str | None, metadata: Iterable[tuple[str, str | bytes]]
) -> GensynError:
    """Return the error a status stands for; it never raises, whatever a server sends."""
    carried = {key: value for key, value in metadata if key in {NAME_KEY, HINT_KEY}}
    kind = _TREE.get(str(carried.get(NAME_KEY, ""))) or _unnamed(code, details or "")
    hint = carried.get(HINT_KEY, b"")
    text = hint[:TEXT_BYTES_MAX].decode(errors="replace") if isinstance(hint, bytes) else ""
    return kind((details or code.name)[:TEXT_BYTES_MAX], hint=text)


def _unnamed(code: grpc.StatusCode, details: str) -> type[GensynError]:
    if code is Code.RESOURCE_EXHAUSTED:
        too_large = _TOO_LARGE in details
        return errors.LimitExceeded if too_large else errors.CoordinatorUnavailable
    return ERRORS.get(code, errors.NetworkError)


def _cut(text: str) -> bytes:
    data = text.encode(errors="replace")[:TEXT_BYTES_MAX]
    return data.decode(errors="ignore").encode()


def _tree(kind: type[GensynError]) -> dict[str, type[GensynError]]:
    found = {kind.__name__: kind}
    for each in kind.__subclasses__():
        found |= _tree(each)
    return found


_TREE = _tree(GensynError)
