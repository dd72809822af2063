"""Everything that can go wrong, as one tree of errors that say what to do next.

GensynError                      every error; `hint` says what to do next
├─ ConfigError                   a setting is missing or wrong
├─ CaptureError                  the program cannot be shipped as it is
│  ├─ VersionSkew                interpreter or packages differ between here and there
│  └─ NotReplayable              two runs of the same batches gave different states
├─ StateError                    a value cannot be expressed as canonical state
├─ ProgramRaised                 the user's own code raised on the network
├─ ProtocolError                 a rule was broken (by us: a bug; by a peer: refuse it)
│  ├─ InvalidTransition          not allowed in this state
│  ├─ InvalidProof               a Merkle proof or signature does not check
│  ├─ Malformed                  bytes that are no record of ours
│  └─ LimitExceeded              longer, larger or later than the stated bound
├─ NetworkError                  retry may help
│  ├─ CoordinatorUnavailable     nobody answers at the coordinator's address
│  ├─ Unauthenticated            a signature is wrong, stale, replayed or foreign
│  ├─ NotFound                   the coordinator knows nothing by that name
│  ├─ LeaseLost                  someone else has the task now; stop working
│  └─ TimedOut                   it was not over in the time it was given
├─ LedgerError                   the chain refused or cannot be reached
│  ├─ TransactionReverted        a contract refused the call
│  └─ InsufficientBalance        the balance is below the price
├─ ArtifactError                 bytes missing, or not the bytes that were named
├─ ReportError                   a report that does not hold
│  └─ Unreadable                 a file whose meaning only running it would tell
├─ SandboxError                  no runner can be started safely here
├─ ProgramError                  a scalar program that is not well formed
└─ NotReproducible               an operator that has no reproducible definition
"""

from __future__ import annotations


class GensynError(Exception):
    """Every error of ours; `hint` says what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} ({self.hint})" if self.hint else message


class ConfigError(GensynError):
    """A setting is missing or wrong."""


class CaptureError(GensynError):
    """The program cannot be shipped as it is."""


class VersionSkew(CaptureError):
    """Interpreter or packages differ between here and there."""


class NotReplayable(CaptureError):
    """Two runs of the same batches, one of them across a cut or not, gave different states."""


class StateError(GensynError):
    """A value cannot be expressed as canonical state."""


class ProgramRaised(GensynError):
    """The user's own code raised on the network."""


class ProtocolError(GensynError):
    """A rule was broken: by us it is a bug, by a peer it is refused."""


class InvalidTransition(ProtocolError):
    """Not allowed in this state."""


class InvalidProof(ProtocolError):
    """A Merkle proof or signature does not check."""


class Malformed(ProtocolError):
    """Bytes that are no record of ours."""


class LimitExceeded(ProtocolError):
    """Longer, larger or later than the stated bound."""


class NetworkError(GensynError):
    """The network failed; retry may help."""


class CoordinatorUnavailable(NetworkError):
    """Nobody answers at the coordinator's address."""


class Unauthenticated(NetworkError):
    """A signature is wrong, stale, replayed or foreign."""


class NotFound(NetworkError):
    """The coordinator knows nothing by that name."""


class LeaseLost(NetworkError):
    """Someone else has the task now; stop working."""


class TimedOut(NetworkError):
    """It was not over in the time it was given."""


class LedgerError(GensynError):
    """The chain refused or cannot be reached."""


class TransactionReverted(LedgerError):
    """A contract refused the call."""


class InsufficientBalance(LedgerError):
    """The balance is below the price."""


class ArtifactError(GensynError):
    """Bytes are missing, or are not the bytes that were named."""


class ReportError(GensynError):
    """A report that does not hold."""


class Unreadable(ReportError):
    """A file whose meaning only running it would tell."""


class SandboxError(GensynError):
    """No runner can be started safely here."""


class ProgramError(GensynError):
    """A scalar program that is not well formed."""


class NotReproducible(GensynError):
    """An operator that has no reproducible definition; `told` once it says which, and where."""

    told = False
