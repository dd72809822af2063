"""What every ledger promises, asked of all of them: in memory, on the embedded chain, on anvil."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from receipts import make_receipt

from gensyn_lightning.chain.deployment import deploy
from gensyn_lightning.chain.ethereum import EthereumLedger
from gensyn_lightning.chain.ledger import (
    JOB_TOTAL_MS_MAX,
    PAYMENTS_MAX,
    SETTLE_GRACE_S,
    EscrowState,
    Ledger,
)
from gensyn_lightning.chain.memory import MemoryLedger
from gensyn_lightning.errors import InsufficientBalance, LedgerError, TransactionReverted
from gensyn_lightning.identity import Account
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import ZERO, Address, Digest, Money, Nonce, keccak
from gensyn_lightning.protocol.job import Job, job_id
from gensyn_lightning.protocol.parameters import EMBEDDED
from gensyn_lightning.protocol.settlement import Payment, Settlement, settle_root

MINTED = 1_000_000
FEES = 10**18
OPERATOR, SUBMITTER, STRANGER = (Account(bytes([n]) * 32) for n in (1, 2, 3))
SOLVER, VERIFIER = (Address(bytes([n]) * 20) for n in (0xA0, 0xB0))
START_S = 1_800_000_000


@dataclass
class World:
    """A ledger and the hands of its clock; `fees` is what an account has left to pay fees with."""

    ledger: Ledger
    clock: list[int]
    fees: Callable[[Address], int] = lambda account: 0

    def held(self, account: Address) -> int:
        """What the account holds, apart from what it was given for fees."""
        return self.ledger.balance(account) - self.fees(account)

    def total(self) -> int:
        """All money there is outside escrow."""
        held = (OPERATOR.address, SUBMITTER.address, STRANGER.address, SOLVER, VERIFIER)
        return sum(self.held(each) for each in held)


@pytest.fixture(params=["memory", "embedded", "anvil"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    clock = [START_S]
    balances = {SUBMITTER.address: MINTED}
    if request.param == "memory":
        yield World(MemoryLedger(balances, [OPERATOR.address], lambda: clock[0]), clock)
    elif request.param == "embedded":
        with embedded(tmp_path, balances, clock) as ledger:
            yield World(ledger, clock)
    else:
        node = request.getfixturevalue("anvil")(f"--timestamp={START_S}")
        node.fund(SUBMITTER.address, MINTED + FEES)
        for each in (OPERATOR, STRANGER):
            node.fund(each.address, FEES)
        deployed = deploy(node.url, OPERATOR, patience_s=0)
        ledger = EthereumLedger(node.url, deployed.escrow, patience_s=0)
        yield World(ledger, AnvilClock(node), lambda account: fees_left(node, account))


def fees_left(node: Any, account: Address) -> int:
    """Return what an account of ours has not paid to miners yet."""
    if account not in {each.address for each in (OPERATOR, SUBMITTER, STRANGER)}:
        return 0
    receipts = [
        each
        for number in range(int(node.ask("eth_blockNumber"), 16) + 1)
        for each in node.ask("eth_getBlockReceipts", hex(number))
        if each["from"] == "0x" + account.hex()
    ]
    return FEES - sum(
        int(each["gasUsed"], 16) * int(each["effectiveGasPrice"], 16) for each in receipts
    )


@contextmanager
def embedded(
    folder: Path, balances: dict[Address, int], clock: list[int]
) -> Iterator[EthereumLedger]:
    from gensyn_lightning.chain.daemon import ChainServer
    from gensyn_lightning.chain.evm import EmbeddedChain, Genesis

    genesis = Genesis(OPERATOR.address, balances)
    chain = EmbeddedChain(folder / "chain.db", genesis, lambda: clock[0])
    server = ChainServer(chain, 0)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    ledger = EthereumLedger(server.url, chain.contracts.escrow, patience_s=0)
    ledger.check_contracts()
    yield ledger
    server.shutdown()
    serving.join()
    server.server_close()
    chain.close()


class AnvilClock(list[int]):
    """A node's clock, which stands still until it is set, and never goes back."""

    def __init__(self, node: Any) -> None:
        super().__init__([START_S])
        self._node = node
        node.ask("anvil_setBlockTimestampInterval", 0)

    def __setitem__(self, index: Any, seconds: Any) -> None:
        super().__setitem__(index, seconds)
        newest = self._node.ask("eth_getBlockByNumber", "latest", False)
        if seconds > int(newest["timestamp"], 16):
            # Calls are answered as of the newest block, so the time comes with one.
            self._node.ask("evm_setNextBlockTimestamp", seconds)
            self._node.ask("evm_mine")


def make_job(number: int = 0, budget: int = 1000) -> Job:
    return Job(
        program=keccak(b"program"),
        submitter=SUBMITTER.address,
        nonce=Nonce(number.to_bytes(16, "big")),
        numerics="native:0123456789abcdef",
        initial_root=keccak(b"start"),
        sandbox_tier="none",
        budget=Money(budget),
        value_at_stake=Money(0),
        parameters=EMBEDDED,
    )


def share(solver: int = 600, verifier: int = 150, budget: int = 1000) -> Settlement:
    payments = (Payment(SOLVER, Money(solver)), Payment(VERIFIER, Money(verifier)))
    return Settlement(payments, Money(budget - solver - verifier))


ROOT = merkle.root([keccak(b"commitment")])


def opened(world: World, number: int = 0) -> tuple[Job, Digest]:
    """A job whose budget lies in escrow and whose commitments are anchored."""
    job = make_job(number)
    world.ledger.deposit(SUBMITTER, job)
    world.ledger.anchor(OPERATOR, job_id(job), ROOT)
    return job, job_id(job)


def test_nothing_is_known_about_a_job_before_its_deposit(world: World) -> None:
    name = job_id(make_job())
    assert world.ledger.escrow(name) is None
    assert world.ledger.receipt(name) is None
    assert world.ledger.closed(name) is None
    assert world.ledger.anchored(name, ROOT) is None
    assert world.ledger.receipts_of(keccak(b"model")) == []
    with pytest.raises(TransactionReverted, match="nothing was deposited"):
        world.ledger.anchor(OPERATOR, name, ROOT)


def test_a_deposit_takes_the_budget_and_records_the_job(world: World) -> None:
    job = make_job()
    made = world.ledger.deposit(SUBMITTER, job)
    assert world.held(SUBMITTER.address) == MINTED - 1000
    assert made.block == world.ledger.block()
    escrow = world.ledger.escrow(job_id(job))
    assert escrow is not None
    lasts_s = EMBEDDED.job_total_ms // 1000 + SETTLE_GRACE_S
    assert escrow.state is EscrowState.OPEN
    assert escrow.job == job_id(job)
    assert escrow.submitter == SUBMITTER.address
    assert escrow.amount == 1000
    assert escrow.job_digest == struct_hash(job)
    assert escrow.program == job.program
    assert escrow.parameters == struct_hash(job.parameters)
    assert escrow.deadline_s == made.block.timestamp_s + lasts_s
    assert escrow.settle_root == ZERO


def test_a_deposit_made_twice_is_one_deposit(world: World) -> None:
    first = world.ledger.deposit(SUBMITTER, make_job())
    assert world.ledger.deposit(SUBMITTER, make_job()) == first
    assert world.held(SUBMITTER.address) == MINTED - 1000


def test_one_name_cannot_be_deposited_for_two_jobs(world: World) -> None:
    world.ledger.deposit(SUBMITTER, make_job(budget=1000))
    with pytest.raises(TransactionReverted, match="otherwise"):
        world.ledger.deposit(SUBMITTER, make_job(budget=2000))


def test_nobody_deposits_in_anothers_name(world: World) -> None:
    with pytest.raises(TransactionReverted, match="only the submitter"):
        world.ledger.deposit(STRANGER, make_job())


def test_a_budget_above_the_balance_is_refused_with_a_hint(world: World) -> None:
    with pytest.raises(InsufficientBalance) as caught:
        world.ledger.deposit(
            SUBMITTER, make_job(budget=world.ledger.balance(SUBMITTER.address) + 1)
        )
    assert caught.value.hint
    assert world.ledger.escrow(job_id(make_job())) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"budget": Money(0)}, "nothing"),
        ({"parameters": replace(EMBEDDED, job_total_ms=JOB_TOTAL_MS_MAX + 1)}, "too long"),
        ({"numerics": "n" * 513}, "too long"),
        ({"sandbox_tier": "t" * 513}, "too long"),
    ],
)
def test_impossible_jobs_are_refused(world: World, change: dict[str, object], reason: str) -> None:
    with pytest.raises(TransactionReverted, match=reason):
        world.ledger.deposit(SUBMITTER, replace(make_job(), **change))  # type: ignore[arg-type]


def test_roots_are_anchored_once_each_in_order(world: World) -> None:
    job = make_job()
    world.ledger.deposit(SUBMITTER, job)
    roots = [keccak(bytes([n])) for n in range(3)]
    made = [world.ledger.anchor(OPERATOR, job_id(job), root) for root in roots]
    assert [each.block.number for each in made] == sorted({each.block.number for each in made})
    assert [world.ledger.anchored(job_id(job), root) for root in roots] == made
    assert world.ledger.anchor(OPERATOR, job_id(job), roots[0]) == made[0]
    escrow = world.ledger.escrow(job_id(job))
    assert escrow is not None
    assert escrow.anchors == 3


def test_only_an_operator_anchors_settles_and_refunds(world: World) -> None:
    job, name = opened(world)
    receipt = make_receipt(job, share(), commitments_root=ROOT)
    for refused in (
        lambda: world.ledger.anchor(STRANGER, name, keccak(b"other")),
        lambda: world.ledger.settle(SUBMITTER, name, share(), receipt),
        lambda: world.ledger.refund(SUBMITTER, name, share()),
    ):
        with pytest.raises(TransactionReverted, match="only an operator"):
            refused()


def test_no_root_is_no_anchor(world: World) -> None:
    _, name = opened(world)
    with pytest.raises(TransactionReverted, match="no root"):
        world.ledger.anchor(OPERATOR, name, ZERO)


def test_settling_pays_everyone_and_writes_the_receipt(world: World) -> None:
    job, name = opened(world)
    receipt = make_receipt(job, share(), commitments_root=ROOT)
    made = world.ledger.settle(OPERATOR, name, share(), receipt)
    assert world.held(SOLVER) == 600
    assert world.held(VERIFIER) == 150
    assert world.held(SUBMITTER.address) == MINTED - 750
    assert world.total() == MINTED
    assert world.ledger.receipt(name) == receipt
    assert world.ledger.closed(name) == made
    assert list(world.ledger.receipts_of(receipt.model)) == [receipt]
    escrow = world.ledger.escrow(name)
    assert escrow is not None
    assert (escrow.state, escrow.settle_root) == (EscrowState.SETTLED, settle_root(share()))


def test_settling_twice_pays_once(world: World) -> None:
    job, name = opened(world)
    receipt = make_receipt(job, share(), commitments_root=ROOT)
    first = world.ledger.settle(OPERATOR, name, share(), receipt)
    assert world.ledger.settle(OPERATOR, name, share(), receipt) == first
    assert world.total() == MINTED


def test_a_settled_job_is_not_settled_otherwise(world: World) -> None:
    job, name = opened(world)
    world.ledger.settle(OPERATOR, name, share(), make_receipt(job, share(), commitments_root=ROOT))
    other = share(solver=601)
    with pytest.raises(TransactionReverted, match="left escrow"):
        world.ledger.settle(OPERATOR, name, other, make_receipt(job, other, commitments_root=ROOT))
    with pytest.raises(TransactionReverted, match="left escrow"):
        world.ledger.refund(OPERATOR, name, share())
    with pytest.raises(TransactionReverted, match="left escrow"):
        world.ledger.anchor(OPERATOR, name, keccak(b"late"))
    world.clock[0] += 10**8
    with pytest.raises(TransactionReverted, match="left escrow"):
        world.ledger.reclaim(STRANGER, name)


@pytest.mark.parametrize(
    ("settlement", "reason"),
    [
        (Settlement((Payment(SOLVER, Money(600)),), Money(399)), "sum"),
        (Settlement((Payment(SOLVER, Money(600)),), Money(401)), "sum"),
        (Settlement((Payment(SOLVER, Money(1001)),), Money(0)), "sum"),
        (Settlement((Payment(SOLVER, Money(0)),), Money(1000)), "payment of nothing"),
        (Settlement((Payment(Address(bytes(20)), Money(1)),), Money(999)), "nobody"),
        (
            Settlement((Payment(VERIFIER, Money(1)), Payment(SOLVER, Money(1))), Money(998)),
            "order",
        ),
        (Settlement((Payment(SOLVER, Money(1)), Payment(SOLVER, Money(1))), Money(998)), "order"),
        (
            Settlement(
                tuple(
                    Payment(Address(bytes(18) + n.to_bytes(2, "big")), Money(1))
                    for n in range(1, PAYMENTS_MAX + 2)
                ),
                Money(999 - PAYMENTS_MAX),
            ),
            "too many",
        ),
    ],
)
def test_payments_that_do_not_add_up_are_refused(
    world: World, settlement: Settlement, reason: str
) -> None:
    job, name = opened(world)
    with pytest.raises(TransactionReverted, match=reason):
        world.ledger.settle(
            OPERATOR, name, settlement, make_receipt(job, settlement, commitments_root=ROOT)
        )
    with pytest.raises(TransactionReverted, match=reason):
        world.ledger.refund(OPERATOR, name, settlement)
    assert world.held(SOLVER) == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"job": keccak(b"x")}, "another job"),
        ({"program": keccak(b"x")}, "another program"),
        ({"submitter": SOLVER}, "another submitter"),
        ({"numerics": "native:ffffffffffffffff"}, "other numerics"),
        ({"sandbox_tier": "t" * 513}, "too long"),
        ({"settle_root": keccak(b"x")}, "other payments"),
        ({"paid": Money(751)}, "another sum"),
        ({"commitments_root": keccak(b"x")}, "never anchored"),
    ],
)
def test_a_receipt_that_says_otherwise_is_refused(
    world: World, change: dict[str, object], reason: str
) -> None:
    job, name = opened(world)
    receipt = replace(make_receipt(job, share(), commitments_root=ROOT), **change)  # type: ignore[arg-type]
    with pytest.raises(TransactionReverted, match=reason):
        world.ledger.settle(OPERATOR, name, share(), receipt)
    assert world.ledger.receipt(name) is None
    assert world.held(SOLVER) == 0


def test_a_refund_pays_what_was_earned_and_leaves_no_receipt(world: World) -> None:
    _, name = opened(world)
    first = world.ledger.refund(OPERATOR, name, share())
    assert world.ledger.refund(OPERATOR, name, share()) == first
    assert world.ledger.closed(name) == first
    assert world.held(SOLVER) == 600
    assert world.total() == MINTED
    assert world.ledger.receipt(name) is None
    with pytest.raises(TransactionReverted, match="otherwise"):
        world.ledger.refund(OPERATOR, name, share(solver=599))


def test_a_refund_may_return_everything(world: World) -> None:
    _, name = opened(world)
    world.ledger.refund(OPERATOR, name, Settlement((), Money(1000)))
    assert world.held(SUBMITTER.address) == MINTED


def test_past_the_deadline_anyone_sends_the_budget_home(world: World) -> None:
    _, name = opened(world)
    escrow = world.ledger.escrow(name)
    assert escrow is not None
    world.clock[0] = escrow.deadline_s - 1
    with pytest.raises(TransactionReverted, match="deadline"):
        world.ledger.reclaim(STRANGER, name)
    world.clock[0] = escrow.deadline_s
    first = world.ledger.reclaim(STRANGER, name)
    assert world.ledger.reclaim(SUBMITTER, name) == first
    assert world.held(SUBMITTER.address) == MINTED
    with pytest.raises(TransactionReverted, match="left escrow"):
        world.ledger.refund(OPERATOR, name, share())


def test_settling_still_counts_past_the_deadline_until_someone_reclaims(world: World) -> None:
    job, name = opened(world)
    world.clock[0] += 10**8
    world.ledger.settle(OPERATOR, name, share(), make_receipt(job, share(), commitments_root=ROOT))
    assert world.total() == MINTED


def test_a_model_has_the_receipts_of_every_job_that_gave_it(world: World) -> None:
    receipts = []
    for number in range(3):
        job, name = opened(world, number)
        receipts.append(make_receipt(job, share(), commitments_root=ROOT))
        world.ledger.settle(OPERATOR, name, share(), receipts[-1])
    assert list(world.ledger.receipts_of(keccak(b"model"))) == receipts
    assert list(world.ledger.receipts_of(keccak(b"model"), limit=2)) == receipts[:2]
    assert list(world.ledger.receipts_of(keccak(b"no model"))) == []


def test_time_and_blocks_only_go_forward(world: World) -> None:
    blocks = [world.ledger.deposit(SUBMITTER, make_job(n)).block for n in range(3)]
    world.clock[0] -= 1000
    blocks.append(world.ledger.deposit(SUBMITTER, make_job(3)).block)
    assert [each.number for each in blocks] == sorted({each.number for each in blocks})
    times = [each.timestamp_s for each in blocks]
    assert times == sorted(times)
    assert world.ledger.block() == blocks[-1]


def test_calls_from_several_threads_have_one_effect_each(world: World) -> None:
    jobs = [make_job(n % 4) for n in range(12)]
    made: list[object] = [None] * len(jobs)

    def deposit(index: int) -> None:
        made[index] = world.ledger.deposit(SUBMITTER, jobs[index])

    run_together([lambda n=n: deposit(n) for n in range(len(jobs))])  # type: ignore[misc]
    assert world.held(SUBMITTER.address) == MINTED - 4 * 1000
    for index, each in enumerate(made):
        assert each is not None
        assert each == made[index % 4]


def run_together(calls: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=each) for each in calls]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def test_a_domain_names_the_chain_and_the_escrow(world: World) -> None:
    domain = world.ledger.domain()
    assert domain.chain_id > 0
    assert len(domain.escrow) == len(world.ledger.receipts_address()) == 20
    assert domain.escrow != world.ledger.receipts_address()


def test_a_ledger_that_is_gone_says_so(tmp_path: Path) -> None:
    ledger = EthereumLedger("http://127.0.0.1:9", Address(bytes(20)), patience_s=0)
    with pytest.raises(LedgerError, match="does not answer") as caught:
        ledger.block()
    assert caught.value.hint
