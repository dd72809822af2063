"""The coordinator's signature over everything it says about a job.

Commitments, replays and payments are signed by their authors; rosters, times, transactions and
rulings are the coordinator's word, and the seal makes it answer for them. A seal says that the
coordinator said so, not that it is true: draws, verdicts and payments are recomputed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gensyn_lightning.identity.account import Account, Signature, recover, sign_record
from gensyn_lightning.protocol.canonical import Domain, json_bytes
from gensyn_lightning.protocol.digest import Address, Digest, digest_of, parse_digest


@dataclass(frozen=True, slots=True)
class Seal:
    """A dossier: the job it is about, and the digest of its canonical JSON without the seal."""

    job: Digest
    content: Digest


def sealed(dossier: Mapping[str, Any], domain: Domain, coordinator: Account) -> dict[str, Any]:
    """Return the dossier with the coordinator's seal added."""
    signature: Signature = sign_record(_seal(dossier), domain, coordinator)
    return {**dossier, "seal": signature.hex()}


def sealed_by(dossier: Mapping[str, Any], domain: Domain) -> Address:
    """Return the account whose seal this is; raise `InvalidProof` if it is nobody's."""
    return recover(_seal(dossier), domain, bytes.fromhex(dossier["seal"]))


def _seal(dossier: Mapping[str, Any]) -> Seal:
    content = {name: value for name, value in dossier.items() if name != "seal"}
    return Seal(parse_digest(dossier["job"]["id"]), digest_of(json_bytes(content)))
