"""in-toto Statements about segments: a solver's provenance, a verifier's test result.

Both are functions of a record, its signature and the author's delegation, byte for byte, so that
a reader rebuilds the statement from them and nothing in it goes unchecked; and both carry the
delegation, so that an envelope stands by itself. Formats: in-toto Statement v1, SLSA provenance
v1, in-toto test-result v0.1. A statement repeats what its author signed; it does not make the
claim true.
"""

from __future__ import annotations

from typing import Any

from gensyn_lightning.identity.delegation import SignedDelegation
from gensyn_lightning.identity.request import Identity
from gensyn_lightning.protocol.canonical import Domain, struct_hash
from gensyn_lightning.protocol.commitment import Commitment
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.protocol.jsonform import to_json
from gensyn_lightning.protocol.verdict import Replay
from gensyn_lightning.report.dsse import seal

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PROVENANCE_TYPE = "https://slsa.dev/provenance/v1"
TEST_RESULT_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
BUILD_TYPE = "urn:gensyn-lightning:segment:v1"

_COMPARED = (
    "end_event",
    "batches",
    "outcome",
    "raised",
    "tape_root",
    "end_root",
    "outputs_root",
    "numerics",
)


def sign_provenance(identity: Identity, commitment: Commitment, signature: bytes) -> bytes:
    """Return the solver's statement in an envelope under its node key."""
    delegation = SignedDelegation.parse(identity.delegation(), identity.domain)
    payload = provenance(commitment, signature, identity.domain, delegation)
    return seal(payload, identity.node_key)


def sign_test_result(
    identity: Identity, commitment: Commitment, replay: Replay, signature: bytes
) -> bytes:
    """Return the verifier's statement in an envelope under its node key."""
    delegation = SignedDelegation.parse(identity.delegation(), identity.domain)
    payload = test_result(commitment, replay, signature, identity.domain, delegation)
    return seal(payload, identity.node_key)


def provenance(
    commitment: Commitment, signature: bytes, domain: Domain, delegation: SignedDelegation
) -> dict[str, Any]:
    """Return the solver's statement: this end state came from this task, run under these rules."""
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": {
            "job": commitment.job.hex(),
            "task": commitment.task.hex(),
            "firstEvent": commitment.first_event,
        },
        "internalParameters": {
            "numerics": commitment.numerics,
            "sandboxTier": commitment.sandbox_tier,
        },
        "resolvedDependencies": [_resource("start state", commitment.start_root)],
    }
    details = {
        "builder": {"id": account_uri(commitment.solver)},
        "metadata": {"invocationId": f"{commitment.task.hex()}/{commitment.fence}"},
        "byproducts": [_signed("commitment", commitment, signature, domain, delegation)],
    }
    predicate = {"buildDefinition": definition, "runDetails": details}
    return _statement(PROVENANCE_TYPE, _subjects(commitment), predicate)


def test_result(
    commitment: Commitment,
    replay: Replay,
    signature: bytes,
    domain: Domain,
    delegation: SignedDelegation,
) -> dict[str, Any]:
    """Return the verifier's statement: which fields of the commitment its replay found the same.

    The witness is not among them: it is salted until after the verifier has promised, and the
    report compares it.
    """
    passed, failed = agreement(commitment, replay)
    predicate = {
        "result": "FAILED" if failed else "PASSED",
        "configuration": [
            _signed("replay", replay, signature, domain, delegation),
            {"name": "verifier", "uri": account_uri(replay.verifier)},
        ],
        "passedTests": passed,
        "failedTests": failed,
    }
    return _statement(TEST_RESULT_TYPE, _subjects(commitment), predicate)


def agreement(commitment: Commitment, replay: Replay) -> tuple[list[str], list[str]]:
    """Return the compared fields that agree and those that do not, the witness left out."""
    same = {name: getattr(commitment, name) == getattr(replay, name) for name in _COMPARED}
    return [name for name in _COMPARED if same[name]], [n for n in _COMPARED if not same[n]]


def account_uri(account: Address) -> str:
    """Return the URI that names an account in a statement."""
    return f"urn:gensyn-lightning:account:{account.hex()}"


def _statement(kind: str, subjects: list[Any], predicate: dict[str, Any]) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": kind,
        "predicate": predicate,
    }


def _subjects(commitment: Commitment) -> list[Any]:
    return [
        _resource("end state", commitment.end_root),
        _resource("outputs", commitment.outputs_root),
    ]


def _resource(name: str, root: Digest) -> dict[str, Any]:
    return {"name": name, "digest": {"keccak256": root.hex()}}


def _signed(
    name: str,
    record: Commitment | Replay,
    signature: bytes,
    domain: Domain,
    delegation: SignedDelegation,
) -> dict[str, Any]:
    return _resource(name, struct_hash(record)) | {
        "annotations": {
            "delegation": {
                "record": to_json(delegation.delegation),
                "signature": delegation.signature.hex(),
            },
            "domain": {"chainId": domain.chain_id, "escrow": domain.escrow.hex()},
            "record": to_json(record),
            "signature": signature.hex(),
        }
    }
