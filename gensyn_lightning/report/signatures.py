"""Who signed what: every signature in a report, checked against the account it must come from.

A signature that holds says that this account said so. Whose account it is, is a matter of pinned
keys (`report.trust`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from gensyn_lightning.errors import ReportError
from gensyn_lightning.identity.account import recover
from gensyn_lightning.identity.delegation import Role, SignedDelegation
from gensyn_lightning.protocol.audit import Purpose
from gensyn_lightning.protocol.canonical import Domain, json_bytes
from gensyn_lightning.protocol.digest import Address
from gensyn_lightning.report import case as cases
from gensyn_lightning.report.case import Attempt, Audit, Case
from gensyn_lightning.report.dsse import check_signature, unseal
from gensyn_lightning.report.finding import Findings, Level, must
from gensyn_lightning.report.form import PAYLOAD_TYPE
from gensyn_lightning.report.seal import sealed_by
from gensyn_lightning.report.statement import provenance, test_result


def check(findings: Findings, report: Mapping[str, Any], case: Case) -> bool:
    """Check every signature of a report; return False when the report's own does not hold."""

    def run(name: str, function: Any, *arguments: Any) -> bool:
        return findings.run(Level.SIGNATURES, name, lambda: function(*arguments))

    if not run("the submitter signed the report", _outer, report, case):
        return False
    run("the submitter signed the job", _job, case)
    run("the coordinator sealed the records", _seal, report, case)
    run("nodes signed their registrations", _registrations, case)
    run("solvers signed their commitments", _commitments, case)
    run("verifiers signed promises and replays", _replays, case)
    run("statements carry what was signed", _statements, case)
    run("the coordinator signed the receipt", _receipt, case)
    return True


def _outer(report: Mapping[str, Any], case: Case) -> str:
    lent = cases.delegation(report["body"]["submitter"])
    _check_delegation(lent, case.domain, (Role.SUBMITTER,), case.job.submitter)
    key = check_signature(json_bytes(report["body"]), report["signature"], PAYLOAD_TYPE)
    must(
        key == lent.delegation.node_key, "the report is signed by another key than its submitter's"
    )
    return _name(case.job.submitter)


def _job(case: Case) -> str:
    _signed(case.job, case.signature, case, case.job.submitter, "the job")
    return _name(case.job.submitter)


def _seal(report: Mapping[str, Any], case: Case) -> str:
    signer = sealed_by(report["body"]["dossier"], case.domain)
    must(signer == case.coordinator, "the records are not sealed by their coordinator")
    return _name(case.coordinator)


def _registrations(case: Case) -> str:
    for account, node in case.nodes.items():
        lent = node.registration.delegation
        _signed(lent, node.registration.signature, case, account, f"node {_name(account)}")
        must(lent.account == account, "a node is registered under another account")
        must(lent.owner == node.candidate.owner, f"node {_name(account)} has another owner")
        for role, wanted in (
            (Role.SOLVER, node.candidate.solves),
            (Role.VERIFIER, node.candidate.verifies),
        ):
            must(
                role in lent.roles or not wanted,
                f"node {_name(account)} may not act as {role.name}",
            )
    return f"{len(case.nodes)} nodes"


def _commitments(case: Case) -> str:
    count = 0
    for where, attempt in _attempts(case):
        claims = [(attempt.commitment, attempt.signature), *attempt.equivocations]
        for claim, signature in claims:
            if claim is None:
                continue
            _signed(claim, signature, case, attempt.solver, f"{where}: the commitment")
            must(claim.solver == attempt.solver, f"{where}: the commitment names another solver")
            count += 1
        if attempt.store_receipt:
            kept = attempt.store_receipt
            _signed(kept, attempt.store_signature, case, case.coordinator, f"{where}: storage")
            must(kept.holder == case.coordinator, f"{where}: another holder signed for storage")
    return f"{count} commitments"


def _replays(case: Case) -> str:
    count = 0
    for where, _, audit in _audits(case):
        if audit.promise:
            _signed(
                audit.promise, audit.promise_signature, case, audit.verifier, f"{where}: promise"
            )
            must(audit.promise.verifier == audit.verifier, f"{where}: another's promise")
        if audit.replay:
            _signed(audit.replay, audit.replay_signature, case, audit.verifier, f"{where}: replay")
            must(audit.replay.verifier == audit.verifier, f"{where}: another's replay")
            count += 1
    return f"{count} replays"


def _statements(case: Case) -> str:
    count = 0
    for where, attempt in _attempts(case):
        must(bool(attempt.provenance) == bool(attempt.commitment), f"{where}: no provenance")
        if attempt.commitment:
            _statement(attempt.provenance, case, attempt, None, where)
            count += 1
    for where, attempt, audit in _audits(case):
        must(bool(audit.result) == bool(audit.replay), f"{where}: no test result")
        if audit.replay:
            _statement(audit.result, case, attempt, audit, where)
            count += 1
    return f"{count} in-toto statements"


def _statement(
    envelope: str, case: Case, attempt: Attempt, audit: Audit | None, where: str
) -> None:
    """Rebuild a statement from the records it must say and compare it whole."""
    opened = unseal(envelope.encode())
    lent = _delegation_in(opened.payload, "byproducts" if audit is None else "configuration", where)
    commitment, domain = attempt.commitment, case.domain
    if commitment is None:
        raise ReportError(f"{where}: a statement about no commitment")
    if audit is None or audit.replay is None:
        expected = provenance(commitment, attempt.signature, domain, lent)
        _check_delegation(lent, domain, (Role.SOLVER,), attempt.solver)
        late = (attempt.committed_ms or 0) > lent.delegation.expiry_ms
        must(not late, f"{where}: the solver's key had run out")
    else:
        expected = test_result(commitment, audit.replay, audit.replay_signature, domain, lent)
        third = (Role.SOLVER,) if audit.purpose is Purpose.ARBITRATION else ()
        _check_delegation(lent, domain, (Role.VERIFIER, *third), audit.verifier)
    must(opened.payload == expected, f"{where}: the statement says something else than the record")
    must(opened.key == lent.delegation.node_key, f"{where}: the statement is signed by another key")


def _delegation_in(payload: Any, kind: str, where: str) -> SignedDelegation:
    try:
        predicate = payload["predicate"]
        listed = predicate[kind] if kind in predicate else predicate["runDetails"][kind]
        return cases.delegation(listed[0]["annotations"]["delegation"], "record")
    except (KeyError, TypeError, IndexError, ValueError):
        raise ReportError(f"{where}: the statement carries no delegation") from None


def _receipt(case: Case) -> str:
    closing = case.closing
    if closing is None or closing.receipt is None:
        must(closing is None or not closing.receipt_signature, "a signature over no receipt")
        return "there is none"
    _signed(closing.receipt, closing.receipt_signature, case, case.coordinator, "the receipt")
    return _name(case.coordinator)


def _check_delegation(
    lent: SignedDelegation, domain: Domain, roles: tuple[Role, ...], account: Address
) -> None:
    record = lent.delegation
    must(record.account == account, f"a key is lent by another account than {_name(account)}")
    must(_lender(lent, domain) == account, f"{_name(account)} lent no such key")
    fits = any(role in record.roles for role in roles)
    must(fits, f"{_name(account)} did not lend its key for this role")


@lru_cache(maxsize=4096)
def _lender(lent: SignedDelegation, domain: Domain) -> Address:
    """Return who signed a delegation; nodes lend one key for many statements."""
    return recover(lent.delegation, domain, lent.signature)


def _signed(record: Any, signature: bytes, case: Case, account: Address, what: str) -> None:
    must(recover(record, case.domain, signature) == account, f"{what} is signed by someone else")


def _attempts(case: Case) -> Iterator[tuple[str, Attempt]]:
    for segment in case.segments:
        for attempt in segment.attempts:
            yield f"segment {segment.index}, attempt {attempt.fence}", attempt


def _audits(case: Case) -> Iterator[tuple[str, Attempt, Audit]]:
    for where, attempt in _attempts(case):
        for audit in attempt.audits:
            yield f"{where}, replay {audit.fence}", attempt, audit


def _name(account: Address) -> str:
    return f"0x{account.hex()}"
