from __future__ import annotations

import json
from typing import Any

from gensyn_lightning.protocol.commitment import Commitment
from gensyn_lightning.protocol.jsonform import from_json
from gensyn_lightning.report.dsse import unseal
from gensyn_lightning.report.statement import PROVENANCE_TYPE, STATEMENT_TYPE, TEST_RESULT_TYPE


def test_a_commitment_is_a_provenance_of_the_end_state(paper: Any) -> None:
    attempt = paper(segments=1).dossier()["segments"][0]["attempts"][0]
    claim = from_json(Commitment, attempt["commitment"])
    payload = unseal(attempt["provenance"].encode()).payload
    assert payload["_type"] == STATEMENT_TYPE
    assert payload["predicateType"] == PROVENANCE_TYPE
    assert payload["subject"][0]["digest"] == {"keccak256": claim.end_root.hex()}
    [signed] = payload["predicate"]["runDetails"]["byproducts"]
    assert signed["annotations"]["record"] == attempt["commitment"]
    assert signed["annotations"]["signature"] == attempt["signature"]


def test_a_matching_replay_is_a_passed_test(paper: Any) -> None:
    attempt = paper(segments=1).dossier()["segments"][0]["attempts"][0]
    payload = unseal(attempt["audits"][0]["result"].encode()).payload
    assert payload["predicateType"] == TEST_RESULT_TYPE
    assert payload["predicate"]["result"] == "PASSED"
    assert payload["predicate"]["failedTests"] == []


def test_another_end_root_is_a_failed_test(paper: Any) -> None:
    played = paper(segments=2, cheats=frozenset({0}))
    attempt = played.dossier()["segments"][0]["attempts"][0]
    payload = unseal(attempt["audits"][0]["result"].encode()).payload
    assert payload["predicate"]["result"] == "FAILED"
    assert payload["predicate"]["failedTests"] == ["end_root"]


def test_a_statement_carries_the_delegation_of_the_key_that_signed_it(paper: Any) -> None:
    attempt = paper(segments=1).dossier()["segments"][0]["attempts"][0]
    opened = unseal(attempt["provenance"].encode())
    lent = opened.payload["predicate"]["runDetails"]["byproducts"][0]["annotations"]["delegation"]
    assert lent["record"]["node_key"] == opened.key.hex()
    assert lent["record"]["account"] == attempt["solver"]


def test_a_statement_is_plain_json(paper: Any) -> None:
    attempt = paper(segments=1).dossier()["segments"][0]["attempts"][0]
    assert set(json.loads(attempt["provenance"])) == {"payload", "payloadType", "signatures"}
