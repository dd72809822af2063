from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.chain.daemon import ChainServer
from gensyn_lightning.chain.ethereum import EthereumLedger
from gensyn_lightning.chain.evm import EmbeddedChain, Genesis
from gensyn_lightning.errors import LedgerError
from gensyn_lightning.protocol.digest import Address
from gensyn_lightning.report import onchain
from gensyn_lightning.report.finding import Exit, Result
from gensyn_lightning.report.trust import Pins
from gensyn_lightning.report.verify import Verification, verify


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory, maker: Any) -> Iterator[EthereumLedger]:
    on_paper = maker()
    genesis = Genesis(
        on_paper.coordinator.address, {on_paper.submitter.address: 100 * on_paper.job.budget}
    )
    path: Path = tmp_path_factory.mktemp("chain") / "chain.db"
    chain = EmbeddedChain(path, genesis, lambda: 1_800_000_000)
    server = ChainServer(chain, 0)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    found = EthereumLedger(server.url, chain.contracts.escrow, patience_s=0)
    found.url = server.url  # type: ignore[attr-defined]
    yield found
    server.shutdown()
    serving.join()
    server.server_close()
    chain.close()


def checked(report: bytes, pins: Pins, ledger: Any, escrow: Address | None = None) -> Verification:
    done = verify(report, pins)
    assert done.holds
    assert done.case is not None
    vouched = onchain.check(done.findings, done.case, ledger.url, escrow or ledger.domain().escrow)
    done.pin(pins | vouched)
    return done


def failed(done: Verification) -> str:
    return "; ".join(f"{e.name}: {e.detail}" for e in done.lines if e.result is Result.FAIL)


def test_the_chain_vouches_for_everyone_it_paid(ledger: Any, maker: Any) -> None:
    played = maker(name="paid", ledger=ledger, cheats=frozenset({1}))
    done = checked(played.report(), Pins(), ledger)
    assert failed(done) == ""
    assert done.exit_code() is Exit.VERIFIED


def test_a_job_the_chain_never_heard_of_is_found(ledger: Any, maker: Any) -> None:
    played = maker(name="unheard", ledger=ledger)
    played.ledger = None
    done = checked(played.report(), played.pins(), ledger)
    assert "nothing was ever deposited" in failed(done)
    assert "an anchor is not on the chain" in failed(done)
    assert "another receipt" in failed(done)
    assert done.exit_code() is Exit.MISMATCH


def test_a_transaction_that_is_not_the_chains_is_found(ledger: Any, maker: Any) -> None:
    played = maker(name="elsewhere", ledger=ledger)

    def elsewhere(records: dict[str, Any]) -> None:
        records["settlement"]["tx"] = "11" * 32
        records["anchors"][0]["tx"] = "22" * 32

    done = checked(played.report(elsewhere), played.pins(), ledger)
    assert "the receipt stands in another transaction" in failed(done)
    assert "an anchor stands in another transaction" in failed(done)


def test_a_report_of_another_network_is_found(ledger: Any, maker: Any) -> None:
    done = checked(maker().report(), Pins(), ledger)
    assert "another chain or escrow" in failed(done)


def test_an_escrow_that_is_none_is_found(ledger: Any, maker: Any) -> None:
    played = maker(name="fake", ledger=ledger)
    done = verify(played.report(), played.pins())
    assert done.case is not None
    try:
        vouched = onchain.check(done.findings, done.case, ledger.url, Address(b"\7" * 20))
    except LedgerError:
        return
    assert vouched.names == {}
    assert done.exit_code() is Exit.MISMATCH


def test_an_unsettled_job_has_no_receipt_on_the_chain(ledger: Any, maker: Any) -> None:
    played = maker(name="open", ledger=ledger, settle=False)
    done = checked(played.report(), played.pins(), ledger)
    assert failed(done) == ""
    assert done.exit_code() is Exit.INCONCLUSIVE
