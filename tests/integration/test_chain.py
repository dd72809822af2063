"""The contracts as the chain executes them, and the chain's process as it is killed."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from receipts import make_receipt

from gensyn_lightning.chain import abi, artifact
from gensyn_lightning.chain.ethereum import EthereumLedger
from gensyn_lightning.chain.evm import CHAIN_ID, Call, EmbeddedChain, Genesis, Reverted
from gensyn_lightning.chain.ledger import EscrowState, Ledger
from gensyn_lightning.chain.memory import MemoryLedger
from gensyn_lightning.chain.refusal import explain
from gensyn_lightning.errors import LedgerError, TransactionReverted
from gensyn_lightning.identity import Account
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import Domain, domain_separator, struct_hash
from gensyn_lightning.protocol.commitment import Commitment, Outcome
from gensyn_lightning.protocol.digest import ZERO, Address, Money, Nonce, keccak
from gensyn_lightning.protocol.job import Job, job_id
from gensyn_lightning.protocol.parameters import EMBEDDED, Parameters
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.settlement import Payment, Settlement

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests/vectors/protocol"
START_S = 1_800_000_000
OPERATOR, SUBMITTER, STRANGER = (Account(bytes([n]) * 32) for n in (1, 2, 3))
MINTED = 10_000_000
ANCHORED = keccak(b"commitments")


@dataclass
class Evm:
    """The contracts on a chain in this process, called without any ledger between."""

    chain: EmbeddedChain
    clock: list[int]

    @property
    def escrow(self) -> Address:
        return self.chain.contracts.escrow

    def ask(self, function: str, kinds: list[str], values: list[Any], answers: list[str]) -> Any:
        data = abi.selector(function, kinds) + abi.encode(kinds, values)
        return abi.decode(answers, self.chain.ask(Call(bytes(20), self.escrow, 0, data)))

    def send(self, account: Account, to: bytes, data: bytes, amount: int = 0) -> bool:
        """Send a call and return whether it was accepted."""
        fields: dict[str, Any] = {
            "type": 2,
            "chainId": CHAIN_ID,
            "nonce": self.chain.nonce(account.address),
            "to": to,
            "value": amount,
            "gas": 12_000_000,
            "maxFeePerGas": 0,
            "maxPriorityFeePerGas": 0,
            "data": data,
            "accessList": [],
        }
        signature = account.sign_digest(TypedTransaction.from_dict(fields).hash())
        r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
        fields |= {"r": r, "s": s, "v": signature[64] - 27}
        mined = self.chain.mined(
            self.chain.send(bytes(TypedTransaction.from_dict(fields).encode()))
        )
        assert mined is not None
        return mined.receipt.state_root == b"\x01"

    def call(
        self, account: Account, function: str, kinds: list[str], values: list[Any], amount: int = 0
    ) -> bool:
        data = abi.selector(function, kinds) + abi.encode(kinds, values)
        return self.send(account, self.escrow, data, amount)

    def deposit(self, job: Job) -> bool:
        return self.call(SUBMITTER, "deposit", [abi.type_of(Job)], [abi.to_values(job)], job.budget)

    def refund(self, job: Job, payments: list[tuple[bytes, int]]) -> bool:
        rest = job.budget - sum(amount for _, amount in payments)
        kinds = ["bytes32", "(address,uint256)[]", "uint256"]
        return self.call(OPERATOR, "refund", kinds, [job_id(job), payments, rest])

    def owed(self, account: bytes) -> int:
        return int(self.ask("owed", ["address"], [account], ["uint256"])[0])

    def create(self, runtime: str) -> bytes:
        """Put code on the chain and return its address."""
        body = bytes.fromhex(runtime)
        # Copies what follows these nine bytes to memory and returns it.
        start = bytes.fromhex(f"60{len(body):02x}80600a5f395ff3fe")
        nonce = self.chain.nonce(STRANGER.address)
        assert self.send(STRANGER, b"", start + body)
        import rlp  # type: ignore[import-untyped]

        address: bytes = keccak(rlp.encode([bytes(STRANGER.address), nonce]))[12:]
        assert self.chain.code(address) == body
        return address


@pytest.fixture
def evm(tmp_path: Path) -> Iterator[Evm]:
    clock = [START_S]
    genesis = Genesis(OPERATOR.address, {SUBMITTER.address: MINTED})
    chain = EmbeddedChain(tmp_path / "chain.db", genesis, lambda: clock[0])
    yield Evm(chain, clock)
    chain.close()


def make_job(number: int = 0, budget: int = 1000, submitter: bytes = SUBMITTER.address) -> Job:
    return Job(
        program=keccak(b"program"),
        submitter=Address(submitter),
        nonce=Nonce(number.to_bytes(16, "big")),
        numerics="native:0123456789abcdef",
        initial_root=keccak(b"start"),
        sandbox_tier="none",
        budget=Money(budget),
        value_at_stake=Money(0),
        parameters=EMBEDDED,
    )


# Golden vectors: the same file that Python's own tests read.


def golden(kind: type) -> dict[str, Any]:
    records = json.loads((VECTORS / "records.json").read_text())["records"]
    found: dict[str, Any] = next(each for each in records if each["record"] == kind.__name__)
    return found


def words(value: Any) -> Any:
    """Return a vector's message as ABI values, knowing nothing of our records."""
    if isinstance(value, dict):
        return tuple(words(each) for each in value.values())
    if isinstance(value, str) and value.isdecimal() and len(value) < 40:
        return int(value)
    if (
        isinstance(value, str)
        and len(value) in {32, 40, 64}
        and set(value) <= set("0123456789abcdef")
    ):
        return bytes.fromhex(value)
    return value


@pytest.mark.parametrize(
    ("kind", "function"), [(Commitment, "commitmentHash"), (Job, "jobHash"), (Receipt, "hash")]
)
def test_contracts_compute_the_golden_digests(evm: Evm, kind: type, function: str) -> None:
    vector = golden(kind)
    data = abi.selector(function, [abi.type_of(kind)])
    data += abi.encode([abi.type_of(kind)], [words(vector["message"])])
    to = evm.chain.contracts.receipts if kind is Receipt else evm.escrow
    assert evm.chain.ask(Call(bytes(20), to, 0, data)).hex() == vector["struct_hash"]


def test_contracts_name_jobs_as_python_does(evm: Evm) -> None:
    for number in range(4):
        job = replace(make_job(number), parameters=Parameters())
        kinds, values = [abi.type_of(Job)], [abi.to_values(job)]
        assert evm.ask("jobId", kinds, values, ["bytes32"])[0] == job_id(job)
        assert evm.ask("jobHash", kinds, values, ["bytes32"])[0] == struct_hash(job)


def test_signatures_are_bound_to_this_chain_and_escrow(evm: Evm) -> None:
    (found,) = evm.ask("domainSeparator", [], [], ["bytes32"])
    assert found == domain_separator(Domain(CHAIN_ID, evm.escrow))


def inclusion(evm: Evm, *proof: Any) -> bool:
    """Ask the contract about a root, data, index, count and siblings."""
    kinds = ["bytes32", "bytes", "uint256", "uint256", "bytes32[]"]
    return bool(evm.ask("verifyInclusion", kinds, list(proof), ["bool"])[0])


def test_contracts_check_the_golden_proofs(evm: Evm) -> None:
    for tree in json.loads((VECTORS / "merkle.json").read_text()):
        leaves = [bytes.fromhex(each) for each in tree["leaves"]]
        root, count = bytes.fromhex(tree["root"]), len(leaves)
        for proof in tree["proofs"]:
            siblings = [bytes.fromhex(each) for each in proof["siblings"]]
            index, data = proof["index"], leaves[proof["index"]]
            assert inclusion(evm, root, data, index, count, siblings)
            for wrong in (
                (root, data + b"!", index, count, siblings),
                (root, data, index, count, [*siblings, root]),
                (root, data, index, count, siblings[:-1]) if siblings else (ZERO, data, 0, 1, []),
                (root, data, count, count, siblings),
                (root, data, index, 2**32 + 1, siblings),
                (root, data, index, 0, siblings),
                (keccak(root), data, index, count, siblings),
            ):
                assert not inclusion(evm, *wrong)


def test_a_commitment_stands_in_an_anchored_batch_or_not(evm: Evm) -> None:
    job = make_job()
    batch = [make_commitment(job, index) for index in range(5)]
    leaves = [struct_hash(each) for each in batch]
    root = merkle.root(leaves)
    assert evm.deposit(job)
    kinds = [abi.type_of(Commitment), "bytes32", "uint256", "uint256", "bytes32[]"]

    def stands(commitment: Commitment, index: int) -> bool:
        proof = merkle.prove(leaves, index)
        values = [abi.to_values(commitment), root, index, len(leaves), proof.siblings]
        return bool(evm.ask("isAnchored", kinds, values, ["bool"])[0])

    assert not stands(batch[0], 0)
    assert evm.call(OPERATOR, "anchor", ["bytes32", "bytes32"], [job_id(job), root])
    assert all(stands(each, index) for index, each in enumerate(batch))
    assert not stands(batch[0], 1)
    assert not stands(replace(batch[0], end_root=keccak(b"other")), 0)


def make_commitment(job: Job, index: int) -> Commitment:
    return Commitment(
        job=job_id(job),
        task=keccak(bytes([index])),
        task_index=index,
        fence=index + 1,
        solver=STRANGER.address,
        first_event=10 * index,
        end_event=10 * index + 10,
        batches=9,
        outcome=Outcome.CONTINUES,
        raised=ZERO,
        start_root=keccak(b"s"),
        end_root=keccak(b"e"),
        tape_root=keccak(b"t"),
        outputs_root=keccak(b"o"),
        witness=keccak(b"w"),
        numerics=job.numerics,
        sandbox_tier="none",
        store_receipt=keccak(b"r"),
    )


# Money and those who would hold it up.


@pytest.mark.parametrize(
    "runtime",
    [
        "5f5ffd",  # reverts
        "5b5f56",  # never ends
        "6120005ffd",  # reverts with 8 KiB
        "fe",  # burns all gas
    ],
)
def test_nobody_who_refuses_money_holds_up_others(evm: Evm, runtime: str) -> None:
    job, refuser, payee = make_job(), evm.create(runtime), Address(b"\xff" * 20)
    assert evm.deposit(job)
    assert evm.refund(job, sorted([(refuser, 300), (bytes(payee), 200)]))
    assert evm.chain.balance(payee) == 200
    assert evm.chain.balance(refuser) == 0
    assert evm.owed(refuser) == 300
    assert evm.chain.balance(evm.escrow) == 300
    assert evm.chain.balance(SUBMITTER.address) == MINTED - 500


@pytest.mark.parametrize("function", ["reclaim(bytes32)", "withdraw(address)", "refund()"])
def test_a_payee_that_calls_back_gets_its_money_once(evm: Evm, function: str) -> None:
    job = make_job()
    other = make_job(1)
    selector = keccak(function.encode())[:4].hex()
    # mstore(0, selector); mstore(32, other job or itself); call(escrow, 28 .. 68); stop
    argument = "30" if "address" in function else "7f" + job_id(other).hex()
    runtime = f"63{selector}5f52{argument}6020525f5f6024601c5f73{evm.escrow.hex()}5af100"
    robber = evm.create(runtime)
    assert evm.deposit(job)
    assert evm.deposit(other)
    evm.clock[0] += 10**8
    assert evm.refund(job, [(robber, 300)])
    assert evm.chain.balance(robber) + evm.owed(robber) == 300
    assert evm.chain.balance(evm.escrow) == 1000 + evm.owed(robber)
    assert evm.refund(other, [])
    assert evm.chain.balance(SUBMITTER.address) == MINTED - 300


def test_a_submitter_that_refuses_its_refund_can_fetch_it_elsewhere(evm: Evm) -> None:
    # Reverts when plainly paid; otherwise passes on what it is told, with its money, to the escrow.
    vault = evm.create(
        f"366007575f5ffd5b365f5f375f5f365f3473{evm.escrow.hex()}5af115602f57005b5f5ffd"
    )
    job = make_job(submitter=vault)
    data = abi.selector("deposit", [abi.type_of(Job)])
    data += abi.encode([abi.type_of(Job)], [abi.to_values(job)])
    assert evm.send(SUBMITTER, vault, data, 1000)
    assert evm.refund(job, [])
    assert evm.owed(vault) == 1000
    withdraw = abi.selector("withdraw", ["address"])
    home = withdraw + abi.encode(["address"], [SUBMITTER.address])
    assert not evm.send(SUBMITTER, vault, withdraw + abi.encode(["address"], [vault]))
    assert not evm.call(STRANGER, "withdraw", ["address"], [STRANGER.address])
    assert evm.send(SUBMITTER, vault, home)
    assert not evm.send(SUBMITTER, vault, home)
    assert evm.chain.balance(SUBMITTER.address) == MINTED
    assert evm.chain.balance(evm.escrow) == 0


def test_money_enters_by_deposit_only_and_exactly(evm: Evm) -> None:
    assert not evm.send(SUBMITTER, evm.escrow, b"", 1)
    assert not evm.send(SUBMITTER, evm.escrow, b"\x01\x02\x03\x04", 1)
    job = make_job()
    for amount in (0, 999, 1001):
        kinds, values = [abi.type_of(Job)], [abi.to_values(job)]
        assert not evm.call(SUBMITTER, "deposit", kinds, values, amount)
    assert evm.chain.balance(evm.escrow) == 0


def test_a_payment_to_the_escrow_itself_is_refused(evm: Evm) -> None:
    job = make_job()
    assert evm.deposit(job)
    assert not evm.refund(job, [(evm.escrow, 300)])
    assert evm.refund(job, [])


def test_only_the_escrow_writes_receipts(evm: Evm) -> None:
    receipt = make_receipt(make_job(), Settlement((), Money(1000)))
    data = abi.selector("write", [abi.type_of(Receipt)])
    data += abi.encode([abi.type_of(Receipt)], [abi.to_values(receipt)])
    for who in (OPERATOR, SUBMITTER, STRANGER):
        assert not evm.send(who, evm.chain.contracts.receipts, data)
        with pytest.raises(Reverted) as caught:
            evm.chain.ask(Call(who.address, evm.chain.contracts.receipts, 0, data))
        assert "only the escrow" in str(explain(caught.value.data))


def test_nothing_in_the_contracts_can_change_or_take_back_a_receipt() -> None:
    writers = [
        each["name"]
        for each in artifact.load("Receipts").abi
        if each["type"] == "function" and each["stateMutability"] not in {"view", "pure"}
    ]
    assert writers == ["write"]


def test_operators_are_appointed_and_dismissed_by_the_admin(evm: Evm) -> None:
    job, role = make_job(), keccak(b"OPERATOR")
    assert evm.deposit(job)
    anchor = (["bytes32", "bytes32"], [job_id(job), keccak(b"root")])
    grant = (["bytes32", "address"], [role, STRANGER.address])
    assert not evm.call(STRANGER, "anchor", *anchor)
    assert not evm.call(STRANGER, "grantRole", *grant)
    assert evm.call(OPERATOR, "grantRole", *grant)
    assert evm.call(STRANGER, "anchor", *anchor)
    assert evm.call(OPERATOR, "revokeRole", *grant)
    assert not evm.call(STRANGER, "anchor", ["bytes32", "bytes32"], [job_id(job), keccak(b"2")])


def test_the_code_on_the_chain_is_the_published_one(evm: Evm) -> None:
    assert artifact.load("Escrow").is_code(evm.chain.code(evm.escrow))
    assert artifact.load("Receipts").is_code(evm.chain.code(evm.chain.contracts.receipts))


# The contracts against their rules in Python, on calls nobody would make.


class Twins:
    """The same random calls to memory and to the contracts; they must agree on every answer."""

    def __init__(self, evm: Evm, ledger: EthereumLedger, dice: random.Random) -> None:
        self.evm, self.dice = evm, dice
        self.real: Ledger = ledger
        balances = {SUBMITTER.address: MINTED}
        self.model: Ledger = MemoryLedger(balances, [OPERATOR.address], lambda: evm.clock[0])
        self.jobs = [make_job(n, budget) for n, budget in enumerate((1, 1000, 1000, 5000, 0))]
        self.payees = sorted(Address(bytes([n]) * 20) for n in (0, 0x10, 0x80, 0xFE))

    def step(self) -> None:
        act = self.dice.choice(
            [self._deposit, self._anchor, self._settle, self._refund, self._wait]
        )
        call = act()
        outcomes = [_outcome(call, ledger) for ledger in (self.model, self.real)]
        assert outcomes[0] == outcomes[1]

    def check(self) -> None:
        accounts = [*self.payees, SUBMITTER.address, OPERATOR.address, STRANGER.address]
        open_amounts = 0
        for job in self.jobs:
            model, real = self.model.escrow(job_id(job)), self.real.escrow(job_id(job))
            assert (model and replace(model, deadline_s=0)) == (
                real and replace(real, deadline_s=0)
            )
            assert self.model.receipt(job_id(job)) == self.real.receipt(job_id(job))
            if real is not None and real.state is EscrowState.OPEN:
                open_amounts += real.amount
        for each in accounts:
            assert self.model.balance(each) == self.real.balance(each)
        assert self.evm.chain.balance(self.evm.escrow) == open_amounts
        assert sum(self.real.balance(each) for each in accounts) + open_amounts == MINTED

    def _who(self) -> Account:
        return self.dice.choice([OPERATOR, OPERATOR, OPERATOR, SUBMITTER, STRANGER])

    def _deposit(self) -> Callable[[Ledger], Any]:
        job = self.dice.choice(self.jobs)
        who = self.dice.choice([SUBMITTER, SUBMITTER, STRANGER])
        return lambda ledger: ledger.deposit(who, job)

    def _anchor(self) -> Callable[[Ledger], Any]:
        job, who = self.dice.choice(self.jobs), self._who()
        root = self.dice.choice([ANCHORED, ANCHORED, keccak(b"other"), ZERO])
        return lambda ledger: ledger.anchor(who, job_id(job), root)

    def _settlement(self, job: Job) -> Settlement:
        payees = self.dice.sample(self.payees, self.dice.randrange(len(self.payees)))
        if self.dice.random() < 0.8:
            payees.sort()
        payments, left = [], job.budget
        for each in payees:
            amount = self.dice.randrange(left // 2 + 2)
            payments.append(Payment(each, Money(amount)))
            left -= amount
        return Settlement(tuple(payments), Money(max(0, left)))

    def _settle(self) -> Callable[[Ledger], Any]:
        job, who = self.dice.choice(self.jobs), self._who()
        settlement = self._settlement(job)
        receipt = make_receipt(job, settlement, commitments_root=ANCHORED)
        if self.dice.random() < 0.2:
            receipt = replace(receipt, paid=Money(receipt.paid + 1))
        return lambda ledger: ledger.settle(who, job_id(job), settlement, receipt)

    def _refund(self) -> Callable[[Ledger], Any]:
        job, who = self.dice.choice(self.jobs), self._who()
        settlement = self._settlement(job)
        if self.dice.random() < 0.3:
            return lambda ledger: ledger.reclaim(who, job_id(job))
        return lambda ledger: ledger.refund(who, job_id(job), settlement)

    def _wait(self) -> Callable[[Ledger], Any]:
        self.evm.clock[0] += self.dice.choice([1, 1000, 100_000])
        return lambda ledger: None


def _outcome(call: Callable[[Ledger], Any], ledger: Ledger) -> str:
    try:
        call(ledger)
    except LedgerError as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def agree_on_random_calls(folder: Path, seed: int, steps: int) -> None:
    from gensyn_lightning.chain.daemon import ChainServer

    print(f"seed {seed}")
    clock = [START_S]
    genesis = Genesis(OPERATOR.address, {SUBMITTER.address: MINTED})
    chain = EmbeddedChain(folder / f"{seed}.db", genesis, lambda: clock[0])
    server = ChainServer(chain, 0)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        ledger = EthereumLedger(server.url, chain.contracts.escrow, patience_s=0)
        twins = Twins(Evm(chain, clock), ledger, random.Random(seed))
        for _ in range(steps):
            twins.step()
        twins.check()
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
        chain.close()


def test_the_contracts_and_memory_agree_on_random_calls(tmp_path: Path) -> None:
    agree_on_random_calls(tmp_path, int.from_bytes(os.urandom(4), "big"), 120)


@pytest.mark.soak
def test_the_contracts_and_memory_agree_on_many_random_calls(tmp_path: Path) -> None:
    for seed in range(40):
        agree_on_random_calls(tmp_path, seed, 150)


# The process, and those who kill it.


class Daemon:
    """The chain's process in a home; killed and started again, it answers at the same address."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.genesis = home.with_suffix(".json")
        balances = {"0x" + SUBMITTER.address.hex(): str(MINTED)}
        value = {"operator": "0x" + OPERATOR.address.hex(), "balances": balances}
        self.genesis.write_text(json.dumps(value))
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "gensyn_lightning.chain.daemon", "--home", self.home]
        self.process = subprocess.Popen(
            [*command, "--genesis", self.genesis], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.place = json.loads(self.process.stdout.readline())

    def ledger(self) -> EthereumLedger:
        return EthereumLedger(self.place["url"], Address(bytes.fromhex(self.place["escrow"][2:])))

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(timeout=30)


def test_the_daemon_says_where_it_is_and_stops_when_told(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "home")
    place = daemon.place
    assert json.loads((tmp_path / "home/chain.json").read_text()) == place
    assert place["pid"] == daemon.process.pid
    daemon.ledger().check_contracts()
    assert daemon.stop(signal.SIGTERM) == 0
    daemon.start()
    assert daemon.place == place | {"pid": daemon.process.pid}
    assert daemon.stop(signal.SIGINT) == 0


def test_a_second_daemon_leaves_the_home_alone(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "home")
    try:
        command = [sys.executable, "-m", "gensyn_lightning.chain.daemon", "--home", daemon.home]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert "another process" in second.stderr
        assert json.loads((daemon.home / "chain.json").read_text()) == daemon.place
    finally:
        daemon.stop(signal.SIGTERM)


def kill_while_jobs_are_settled(home: Path, kills: int, seed: int) -> None:
    print(f"seed {seed}")
    dice, daemon, stop = random.Random(seed), Daemon(home), threading.Event()
    ledger, settled, failed = daemon.ledger(), [], []

    def work() -> None:
        # One job after the other, as the coordinator's worker would; each step may be cut anywhere.
        try:
            while not stop.is_set():
                job = make_job(len(settled))
                name = job_id(job)
                share = Settlement((Payment(Address(b"\xaa" * 20), Money(400)),), Money(600))
                made = ledger.deposit(SUBMITTER, job)
                ledger.anchor(OPERATOR, name, ANCHORED)
                done = ledger.settle(
                    OPERATOR, name, share, make_receipt(job, share, commitments_root=ANCHORED)
                )
                settled.append((name, made, done))
        except Exception as error:
            failed.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(kills):
            threading.Event().wait(dice.uniform(0, 0.3))
            daemon.stop(signal.SIGKILL)
            daemon.start()
    finally:
        stop.set()
        worker.join()
        daemon.stop(signal.SIGTERM)
    assert failed == []
    assert settled
    check_survivor(home, settled)


def check_survivor(home: Path, settled: list[Any]) -> None:
    chain = EmbeddedChain(home / "chain.db", None, lambda: START_S)
    assert chain.balance(b"\xaa" * 20) == 400 * len(settled)
    assert chain.balance(SUBMITTER.address) == MINTED - 400 * len(settled)
    assert chain.balance(chain.contracts.escrow) == 0
    # Every call that anybody was told about stands where it was said to, and nothing else does.
    head = chain.head()
    assert head.block_number == 1 + 3 * len(settled)
    assert chain.nonce(OPERATOR.address) == 2 * len(settled)
    for _, made, done in settled:
        for each in (made, done):
            mined = chain.mined(each.digest)
            assert mined is not None
            assert mined.header.hash == each.block.digest
            assert mined.receipt.state_root == b"\x01"
    for number in range(1, head.block_number + 1):
        block, before = chain.block(number).header, chain.block(number - 1).header
        assert block.parent_hash == before.hash
        assert block.timestamp > before.timestamp
    chain.close()


def test_killing_the_daemon_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    kill_while_jobs_are_settled(tmp_path / "home", 5, int.from_bytes(os.urandom(4), "big"))


@pytest.mark.soak
def test_killing_the_daemon_many_times_loses_nothing(tmp_path: Path) -> None:
    for seed in range(4):
        kill_while_jobs_are_settled(tmp_path / f"home{seed}", 25, seed)


def test_a_daemon_killed_at_its_first_start_starts_afresh(tmp_path: Path) -> None:
    genesis = tmp_path / "genesis.json"
    genesis.write_text(json.dumps({"operator": "0x" + "11" * 20, "balances": {}}))
    code = (
        "import os, time\nfrom pathlib import Path\n"
        "from gensyn_lightning.chain import evm\n"
        "evm.EmbeddedChain._deploy = lambda *_: os.kill(os.getpid(), 9)\n"
        f"evm.EmbeddedChain(Path({str(tmp_path / 'chain.db')!r}), evm.Genesis(bytes(20), {{}}), "
        "lambda: 1)"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -signal.SIGKILL
    fresh = Genesis(OPERATOR.address, {SUBMITTER.address: 5})
    chain = EmbeddedChain(tmp_path / "chain.db", fresh, lambda: START_S)
    assert chain.balance(SUBMITTER.address) == 5
    assert chain.head().block_number == 1
    chain.close()


# The artefacts.


def test_the_artefacts_are_built_from_these_sources_bit_for_bit(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "contracts/build.py", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shipped = ROOT / "gensyn_lightning/chain/artifacts"
    names = sorted(each.name for each in shipped.iterdir())
    assert names == sorted(each.name for each in tmp_path.iterdir())
    for name in names:
        assert (tmp_path / name).read_bytes() == (shipped / name).read_bytes(), "make contracts"


def test_web3_alone_reads_a_receipt_we_wrote(evm: Evm) -> None:
    """Anybody with a chain library and the ABI reads a receipt without us."""
    from web3 import Web3

    from gensyn_lightning.chain.daemon import ChainServer

    server = ChainServer(evm.chain, 0)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        ledger = EthereumLedger(server.url, evm.escrow, patience_s=0)
        job, share = make_job(), Settlement((), Money(1000))
        receipt = make_receipt(job, share, commitments_root=ANCHORED)
        ledger.deposit(SUBMITTER, job)
        ledger.anchor(OPERATOR, job_id(job), ANCHORED)
        ledger.settle(OPERATOR, job_id(job), share, receipt)
        web3 = Web3(Web3.HTTPProvider(server.url))
        where = Web3.to_checksum_address(evm.chain.contracts.receipts)
        receipts = web3.eth.contract(address=where, abi=artifact.load("Receipts").abi)
        assert receipts.functions.countOf(receipt.model).call() == 1
        name = receipts.functions.jobOf(receipt.model, 0).call()
        found = receipts.functions.receiptOf(name).call()
        assert found[4] == receipt.end_root
        assert receipts.functions.hash(found).call() == struct_hash(receipt)
        (event,) = receipts.events.ReceiptWritten().get_logs(from_block=0)
        assert event["args"]["model"] == receipt.model
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def test_a_deposit_with_the_wrong_key_moves_nothing(evm: Evm) -> None:
    job = make_job()
    kinds, values = [abi.type_of(Job)], [abi.to_values(job)]
    data = abi.selector("deposit", kinds) + abi.encode(kinds, values)
    with pytest.raises((TransactionReverted, LedgerError)):
        evm.chain.ask(Call(STRANGER.address, evm.escrow, 1000, data))
    assert not evm.call(STRANGER, "deposit", kinds, values)
