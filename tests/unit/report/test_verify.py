"""A report is worth nothing unless every change to it is found."""

from __future__ import annotations

import base64
import copy
import json
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gensyn_lightning.errors import GensynError
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.report.build import build
from gensyn_lightning.report.dsse import signature
from gensyn_lightning.report.finding import Exit, Result
from gensyn_lightning.report.form import PAYLOAD_TYPE
from gensyn_lightning.report.trust import Pins
from gensyn_lightning.report.verify import Verification, verify

Change = Callable[[dict[str, Any]], None]


def failed(done: Verification) -> str:
    return "; ".join(f"{e.name}: {e.detail}" for e in done.lines if e.result is Result.FAIL)


def attempt(records: dict[str, Any], index: int, which: int = -1) -> dict[str, Any]:
    return records["segments"][index]["attempts"][which]  # type: ignore[no-any-return]


def test_an_honest_report_is_verified(honest: tuple[bytes, Pins]) -> None:
    report, pins = honest
    done = verify(report, pins)
    assert failed(done) == ""
    assert done.exit_code() is Exit.VERIFIED
    assert done.status == "VERIFIED"


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ({"cheats": frozenset({1})}, "VERIFIED", Exit.VERIFIED),
        ({"slanders": frozenset({0, 2})}, "VERIFIED", Exit.VERIFIED),
        ({"cheats": frozenset({0}), "slanders": frozenset({2})}, "VERIFIED", Exit.VERIFIED),
        ({"rate_ppm": 0}, "UNVERIFIED", Exit.INCONCLUSIVE),
        ({"settle": False}, "INCONCLUSIVE", Exit.INCONCLUSIVE),
    ],
)
def test_a_consistent_report_says_what_happened(
    paper: Any, how: dict[str, Any], status: str, code: Exit
) -> None:
    played = paper(**how)
    done = verify(played.report(), played.pins())
    assert failed(done) == ""
    assert (done.status, done.exit_code()) == (status, code)


def test_a_refuted_segment_is_counted(paper: Any) -> None:
    played = paper(cheats=frozenset({1}))
    done = verify(played.report(), played.pins())
    assert done.summary is not None
    assert (done.summary["disputes"], done.summary["refuted"]) == (1, 1)


@pytest.mark.parametrize("name", ["submitter", "coordinator", "solver-1"])
def test_without_every_key_pinned_nothing_is_verified(paper: Any, name: str) -> None:
    played = paper()
    done = verify(played.report(), played.pins(name))
    assert done.exit_code() is Exit.INCONCLUSIVE
    assert done.verdict() == "consistent; signers unknown"


def test_a_solver_is_not_trusted_as_a_verifier(paper: Any) -> None:
    played = paper()
    everyone = played.pins().names
    solvers_only = {signer: name for signer, name in everyone.items() if signer.role != "verifier"}
    assert verify(played.report(), Pins(solvers_only)).exit_code() is Exit.INCONCLUSIVE


def flipped(report: bytes, masks: Callable[[int], list[int]]) -> Iterator[bytes]:
    for place, byte in enumerate(report):
        for mask in masks(place):
            yield report[:place] + bytes([byte ^ mask]) + report[place + 1 :]


def test_flipping_a_byte_is_found(paper: Any) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    played = paper(segments=1)
    report, pins = played.report(), played.pins()
    for changed in flipped(report, lambda _: [1 << dice.randrange(8)] * (dice.random() < 1 / 8)):
        assert verify(changed, pins).exit_code() is Exit.MISMATCH


@pytest.mark.soak
def test_flipping_any_bit_is_found(paper: Any) -> None:
    played = paper(segments=2, cheats=frozenset({0}))
    report, pins = played.report(), played.pins()
    for changed in flipped(report, lambda _: [1 << bit for bit in range(8)]):
        assert verify(changed, pins).exit_code() is Exit.MISMATCH


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: "\ufeff" + text,
        lambda text: text.replace('"body":', '"body" :', 1),
        lambda text: text.replace('"batches":8', '"batches":8.0', 1),
        lambda text: text.replace('"batches":8', '"batches":8,"batches":8', 1),
        lambda text: text.replace('"signature"', '"signatur\\u0065"', 1),
        lambda text: text.replace('"keyid"', '"surplus":1,"keyid"', 1),
        lambda text: text[:-1],
        lambda text: text + text,
        lambda text: "[" * 100_000,
        lambda text: "{}",
        lambda text: "null",
        lambda text: "",
    ],
)
def test_another_spelling_of_the_same_report_is_refused(
    honest: tuple[bytes, Pins], rewrite: Callable[[str], str]
) -> None:
    report, pins = honest
    changed = rewrite(report.decode())
    assert changed.encode() != report
    assert verify(changed.encode(), pins).exit_code() is Exit.MISMATCH


def test_members_in_another_order_are_refused(honest: tuple[bytes, Pins]) -> None:
    report, pins = honest
    value = json.loads(report)
    backwards = json.dumps(
        {name: value[name] for name in sorted(value, reverse=True)}, separators=(",", ":")
    )
    assert verify(backwards.encode(), pins).exit_code() is Exit.MISMATCH


def test_base64_with_other_unused_bits_is_refused(honest: tuple[bytes, Pins]) -> None:
    report, pins = honest
    value = json.loads(report)
    sig = value["signature"]["sig"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet[alphabet.index(sig[-3]) ^ 1]
    value["signature"]["sig"] = f"{sig[:-3]}{last}=="
    assert base64.b64decode(value["signature"]["sig"]) == base64.b64decode(sig)
    assert verify(json_bytes(value), pins).exit_code() is Exit.MISMATCH


def resigned(report: bytes, identity: Any, change: Change) -> bytes:
    body = json.loads(report)["body"]
    change(body)
    signed = signature(json_bytes(body), identity.node_key, PAYLOAD_TYPE)
    return json_bytes({"body": body, "signature": signed})


@pytest.mark.parametrize("name", ["status", "statement", "replayed", "miss_ppm", "paid", "model"])
def test_a_submitter_cannot_embellish_the_summary(paper: Any, name: str) -> None:
    played = paper(rate_ppm=0)
    values = {"statement": "All is well.", "status": "VERIFIED", "paid": "1", "model": "00" * 32}
    report = resigned(
        played.report(),
        played.submitter.identity,
        lambda body: body["summary"].update({name: values.get(name, 0)}),
    )
    # miss_ppm and replayed are set to 0, which they only are by luck
    done = verify(report, played.pins())
    assert done.exit_code() is (Exit.INCONCLUSIVE if name == "replayed" else Exit.MISMATCH)


def test_a_submitter_cannot_change_what_the_coordinator_sealed(paper: Any) -> None:
    played = paper()

    def later(body: dict[str, Any]) -> None:
        body["dossier"]["job"]["submitted_ms"] += 1

    done = verify(resigned(played.report(), played.submitter.identity, later), played.pins())
    assert "sealed" in failed(done)


def test_a_report_signed_by_someone_else_does_not_hold(paper: Any) -> None:
    played = paper()
    stranger = paper(name="other").nodes[next(iter(played.nodes))].identity
    done = verify(resigned(played.report(), stranger, lambda body: None), played.pins())
    assert "another key" in failed(done)


def swap_segments(records: dict[str, Any]) -> None:
    records["segments"][0], records["segments"][1] = records["segments"][1], records["segments"][0]


def swap_contents(records: dict[str, Any]) -> None:
    first, second = records["segments"][:2]
    first["attempts"], second["attempts"] = second["attempts"], first["attempts"]


def drop_segment(records: dict[str, Any]) -> None:
    del records["segments"][0]


def drop_last_segment(records: dict[str, Any]) -> None:
    del records["segments"][-1]


def drop_audit(records: dict[str, Any]) -> None:
    attempt(records, 1)["audits"] = []


def unsample(records: dict[str, Any]) -> None:
    attempt(records, 1).update(sampled=False, audits=[])


def replace_salt(records: dict[str, Any]) -> None:
    attempt(records, 1)["salt"] = "00" * 16


def withhold_salt(records: dict[str, Any]) -> None:
    attempt(records, 1)["salt"] = None


def hide_verdict(records: dict[str, Any]) -> None:
    attempt(records, 1, 0)["audits"][0]["verdict"] = "MATCH"


def forget_wrong(records: dict[str, Any]) -> None:
    attempt(records, 1, 0)["audits"][0]["wrong"] = True


def accept_cheat(records: dict[str, Any]) -> None:
    records["segments"][1]["attempts"] = records["segments"][1]["attempts"][:1]
    attempt(records, 1)["state"] = "ACCEPTED"


def uphold_cheat(records: dict[str, Any]) -> None:
    attempt(records, 1, 0)["arbitrations"][0]["outcome"] = "UPHELD"


def drop_ruling(records: dict[str, Any]) -> None:
    attempt(records, 1, 0)["arbitrations"] = []


def copy_replay(records: dict[str, Any]) -> None:
    attempt(records, 2)["audits"] = copy.deepcopy(attempt(records, 0)["audits"])


def replay_twice(records: dict[str, Any]) -> None:
    attempt(records, 2)["audits"] *= 2


def another_verifier(records: dict[str, Any]) -> None:
    attempt(records, 2)["audits"][0]["verifier"] = attempt(records, 2)["solver"]


def another_draw(records: dict[str, Any]) -> None:
    attempt(records, 2)["audits"][0]["draw"]["round"] = 1


def another_roster(records: dict[str, Any]) -> None:
    """Name a roster that the verifier does not stand on."""
    row = attempt(records, 2)["audits"][0]
    left = [each for each in records["rosters"][row["roster"]] if each != row["verifier"]]
    assert len(left) + 1 == len(records["rosters"][row["roster"]])
    row["roster"] = merkle.root([bytes.fromhex(each) for each in left]).hex()
    records["rosters"][row["roster"]] = left


def another_block(records: dict[str, Any]) -> None:
    attempt(records, 2)["seed"]["block"] = "11" * 32


def drop_anchor(records: dict[str, Any]) -> None:
    records["anchors"].pop()


def stuff_anchor(records: dict[str, Any]) -> None:
    records["anchors"][0]["commitments"].append("22" * 32)


def drop_provenance(records: dict[str, Any]) -> None:
    attempt(records, 0)["provenance"] = None


def borrow_provenance(records: dict[str, Any]) -> None:
    attempt(records, 0)["provenance"] = attempt(records, 2)["provenance"]


def drop_result(records: dict[str, Any]) -> None:
    attempt(records, 0)["audits"][0]["result"] = None


def pay_more(records: dict[str, Any]) -> None:
    records["settlement"]["record"]["payments"][0]["amount"] = "1"


def refund_instead(records: dict[str, Any]) -> None:
    records["settlement"]["kind"] = "REFUND"


def inflate_receipt(records: dict[str, Any]) -> None:
    records["settlement"]["receipt"]["owners"] = 9


def drop_receipt(records: dict[str, Any]) -> None:
    records["settlement"].update(receipt=None, receipt_signature=None)


def rename_job(records: dict[str, Any]) -> None:
    records["job"]["id"] = "33" * 32


def another_state(records: dict[str, Any]) -> None:
    records["job"]["state"] = "TRAINING"


def another_owner(records: dict[str, Any]) -> None:
    records["nodes"][0]["owner"] = "44" * 20


def another_escrow(records: dict[str, Any]) -> None:
    records["domain"]["escrow"] = "55" * 20


def another_coordinator(records: dict[str, Any]) -> None:
    records["coordinator"] = "66" * 20


def another_model(records: dict[str, Any]) -> None:
    attempt(records, 2)["model"] = "77" * 32


@pytest.mark.parametrize(
    "change",
    [
        swap_segments,
        swap_contents,
        drop_segment,
        drop_last_segment,
        drop_audit,
        unsample,
        replace_salt,
        withhold_salt,
        hide_verdict,
        forget_wrong,
        accept_cheat,
        uphold_cheat,
        drop_ruling,
        copy_replay,
        replay_twice,
        another_verifier,
        another_draw,
        another_roster,
        another_block,
        drop_anchor,
        stuff_anchor,
        drop_provenance,
        borrow_provenance,
        drop_result,
        pay_more,
        refund_instead,
        inflate_receipt,
        drop_receipt,
        rename_job,
        another_state,
        another_owner,
        another_escrow,
        another_coordinator,
        another_model,
    ],
)
def test_submitter_and_coordinator_together_cannot_change_the_records(
    paper: Any, change: Change
) -> None:
    """Both sign anew whatever they like; the records of the others give them away."""
    played = paper(cheats=frozenset({1}))
    done = verify(played.report(change), played.pins())
    assert done.exit_code() is Exit.MISMATCH, failed(done)


COORDINATORS_WORD = {
    "receipts",
    "job.submitted_ms",
    "nodes.[].tier",
    "segments.[].attempts.[].draw.round",
    "segments.[].attempts.[].audits.[].fence",
    "segments.[].attempts.[].started_ms",
    "segments.[].attempts.[].committed_ms",
    "segments.[].attempts.[].state_refs.structure",
    "segments.[].attempts.[].state_refs.tensors",
    "segments.[].attempts.[].tape",
    "segments.[].attempts.[].outputs",
    "anchors.[].tx",
    "anchors.[].block_number",
    "anchors.[].timestamp_s",
    "settlement.tx",
    "settlement.block_number",
    "settlement.block_digest",
    "settlement.timestamp_s",
}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: Any = value.items() if isinstance(value, dict) else ()
    items = list(enumerate(value)) if isinstance(value, list) else items
    if not items:
        return [path]
    return [each for name, inner in items for each in leaves(inner, (*path, name))]


def another(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str() if value and set(value) <= set("0123456789abcdef"):
            return (
                f"{int(value[-1], 16) ^ 1:x}".rjust(len(value), "0")
                if len(value) == 1
                else (value[:-1] + f"{int(value[-1], 16) ^ 1:x}")
            )
        case str():
            return value + "x"
        case None:
            return "00" * 32
        case _:
            return [0]


def changed_at(path: tuple[Any, ...]) -> Change:
    def change(records: dict[str, Any]) -> None:
        holder: Any = records
        for name in path[:-1]:
            holder = holder[name]
        holder[path[-1]] = another(holder[path[-1]])

    return change


def test_whatever_the_coordinator_changes_it_signs_for_or_is_caught(paper: Any) -> None:
    """Only times, transactions and where bytes lie are its word alone; a chain knows the rest."""
    played = paper(segments=2, cheats=frozenset({0}), slanders=frozenset({1}))
    honest, pins, survived = played.dossier(), played.pins(), set()
    for path in leaves(honest):
        if path[0] == "seal":
            continue
        records = copy.deepcopy(honest)
        changed_at(path)(records)
        try:
            sealed = json_bytes(played.seal(records))
            report = build(sealed, played.leaves, played.submitter.identity)
        except GensynError:
            continue
        if verify(report, pins).exit_code() is not Exit.MISMATCH:
            survived.add(".".join("[]" if isinstance(each, int) else each for each in path))
    # Of an attempt that was refuted anyway, neither salt nor model decides anything.
    lost = {"segments.[].attempts.[].salt", "segments.[].attempts.[].model"}
    assert survived - lost == COORDINATORS_WORD


def test_a_segment_of_another_job_does_not_fit(paper: Any) -> None:
    other = paper(name="other").dossier()

    def foreign(records: dict[str, Any]) -> None:
        records["segments"][1] = other["segments"][1]
        records["rosters"] |= other["rosters"]
        records["anchors"] += other["anchors"]

    played = paper()
    done = verify(played.report(foreign), played.pins())
    assert "another job" in failed(done)


def test_a_report_of_unknown_accounts_is_only_consistent(paper: Any) -> None:
    """Whoever makes up a whole network can write a report that fits together, and no more."""
    assert verify(paper().report(), Pins()).exit_code() is Exit.INCONCLUSIVE


def test_leaves_of_another_state_do_not_open(paper: Any) -> None:
    played = paper()

    def swap(body: dict[str, Any]) -> None:
        body["state"][0]["digest"] = "88" * 32

    done = verify(resigned(played.report(), played.submitter.identity, swap), played.pins())
    assert "end root" in failed(done)


def cpu_seconds() -> float:
    """What finished children have cost; the clock on the wall would measure the other tests."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_an_honest_report_verifies_in_a_second_without_anything_heavy(
    paper: Any, tmp_path: Any
) -> None:
    played = paper(segments=8)
    (tmp_path / "report.json").write_bytes(played.report())
    rows = [
        {"account": signer.account.hex(), "name": name, "roles": [signer.role]}
        for signer, name in played.pins().names.items()
    ]
    trust = {"schema": "gensyn-trust/1", "accounts": rows}
    (tmp_path / "trust.json").write_text(json.dumps(trust))
    code = (
        "import sys, typer\n"
        "from gensyn_lightning.cli.verify import verify\n"
        "app = typer.Typer(); app.command()(verify)\n"
        "try: app()\n"
        "finally: print(*{'torch', 'web3', 'jsonschema', 'grpc', 'lightning'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, "report.json", "--trust", "trust.json"]
    taken = []
    for _ in range(3):
        began = cpu_seconds()
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={"GENSYN_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
        )
        taken.append(cpu_seconds() - began)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == ""
    assert min(taken) < 1.0
