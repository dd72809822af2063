// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.29;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {Merkle} from "./Merkle.sol";
import {Receipts} from "./Receipts.sol";
import {Commitment, Job, Payment, Receipt, Records} from "./Records.sol";

/// Where a job's budget lies until it is settled. Every unit paid in leaves exactly once: to those
/// who worked or back to the submitter; past its deadline anyone can send it back.
contract Escrow is AccessControl, EIP712, ReentrancyGuard {
    using Records for Job;
    using Records for Payment;
    using Records for Commitment;

    enum State {
        NONE,
        OPEN,
        SETTLED,
        REFUNDED,
        RECLAIMED
    }

    struct Deposit {
        address submitter;
        State state;
        uint64 deadline;
        uint64 openedBlock;
        uint64 closedBlock;
        uint64 anchors;
        uint256 amount;
        bytes32 jobDigest;
        bytes32 program;
        bytes32 parameters;
        bytes32 numerics;
        bytes32 settleRoot;
    }

    error NotTheSubmitter();
    error NothingToDeposit();
    error WrongAmount(uint256 sent, uint256 budget);
    error LastsTooLong();
    error TextTooLong();
    error AlreadyDeposited(bytes32 job);
    error NothingDeposited(bytes32 job);
    error NotOpen(bytes32 job);
    error NoRoot();
    error AlreadyAnchored(bytes32 root);
    error TooManyPayments();
    error PaymentsOutOfOrder();
    error PaymentToNobody();
    error PaymentOfNothing();
    error SumMismatch(uint256 total, uint256 amount);
    error OtherJob();
    error OtherProgram();
    error OtherSubmitter();
    error OtherNumerics();
    error OtherPayments();
    error OtherSum();
    error NeverAnchored();
    error TooEarly(uint64 deadline);
    error NothingOwed();
    error NotAccepted();

    event Deposited(
        bytes32 indexed job, address indexed submitter, uint256 amount, bytes32 jobDigest
    );
    event Anchored(bytes32 indexed job, bytes32 indexed root, uint64 index);
    event Closed(
        bytes32 indexed job, State state, bytes32 settleRoot, uint256 paid, uint256 refunded
    );
    event Paid(bytes32 indexed job, address indexed to, uint256 amount);
    event Owed(bytes32 indexed job, address indexed to, uint256 amount);

    /// Those who may anchor and settle.
    bytes32 public constant OPERATOR = keccak256("OPERATOR");
    uint256 public constant PAYMENTS_MAX = 256;
    uint256 public constant TEXT_BYTES_MAX = 512;
    uint64 public constant JOB_TOTAL_MS_MAX = 90 days * 1000;
    uint64 public constant SETTLE_GRACE = 1 hours;
    /// Enough for a plain account or a simple wallet; what costs more is kept for `withdraw`.
    uint256 private constant PUSH_GAS = 30_000;

    Receipts public immutable RECEIPTS;

    /// Payments that an account did not accept and can still fetch.
    mapping(address account => uint256) public owed;
    /// The block in which a root was anchored for a job; zero if never.
    mapping(bytes32 job => mapping(bytes32 root => uint64)) public anchoredBlock;

    mapping(bytes32 job => Deposit) private _deposits;

    constructor(address admin, address operator) EIP712("Gensyn", "1") {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _grantRole(OPERATOR, operator);
        RECEIPTS = new Receipts();
    }

    /// Puts the budget of `job` into escrow; only its submitter, so that nobody can take its name.
    function deposit(Job calldata job) external payable {
        bytes32 id = job.jobId();
        Deposit storage held = _deposits[id];
        require(held.state == State.NONE, AlreadyDeposited(id));
        require(msg.sender == job.submitter, NotTheSubmitter());
        require(job.budget > 0, NothingToDeposit());
        require(job.parameters.jobTotalMs <= JOB_TOTAL_MS_MAX, LastsTooLong());
        require(bytes(job.numerics).length <= TEXT_BYTES_MAX, TextTooLong());
        require(bytes(job.sandboxTier).length <= TEXT_BYTES_MAX, TextTooLong());
        require(msg.value == job.budget, WrongAmount(msg.value, job.budget));
        held.submitter = job.submitter;
        held.state = State.OPEN;
        held.deadline =
            uint64(block.timestamp) + (job.parameters.jobTotalMs + 999) / 1000 + SETTLE_GRACE;
        held.openedBlock = uint64(block.number);
        held.amount = job.budget;
        held.jobDigest = job.hash();
        held.program = job.program;
        held.parameters = Records.hash(job.parameters);
        held.numerics = keccak256(bytes(job.numerics));
        emit Deposited(id, job.submitter, job.budget, held.jobDigest);
    }

    /// Fixes a batch of commitments in time.
    function anchor(bytes32 job, bytes32 root) external onlyRole(OPERATOR) {
        Deposit storage held = _open(job);
        require(root != 0, NoRoot());
        require(anchoredBlock[job][root] == 0, AlreadyAnchored(root));
        anchoredBlock[job][root] = uint64(block.number);
        emit Anchored(job, root, held.anchors++);
    }

    /// Pays everyone, returns the rest to the submitter and writes the receipt.
    function settle(
        bytes32 job,
        Payment[] calldata payments,
        uint256 refunded,
        Receipt calldata receipt
    ) external onlyRole(OPERATOR) nonReentrant {
        Deposit storage held = _open(job);
        (bytes32 root, uint256 paid) = _check(held, payments, refunded);
        require(receipt.job == job, OtherJob());
        require(receipt.program == held.program, OtherProgram());
        require(receipt.submitter == held.submitter, OtherSubmitter());
        require(keccak256(bytes(receipt.numerics)) == held.numerics, OtherNumerics());
        require(bytes(receipt.sandboxTier).length <= TEXT_BYTES_MAX, TextTooLong());
        require(receipt.settleRoot == root, OtherPayments());
        require(receipt.paid == paid, OtherSum());
        require(anchoredBlock[job][receipt.commitmentsRoot] != 0, NeverAnchored());
        _close(held, job, State.SETTLED, root, paid, refunded);
        RECEIPTS.write(receipt);
        _pay(held, job, payments, refunded);
    }

    /// Pays what was earned and returns the rest, without a receipt.
    function refund(bytes32 job, Payment[] calldata payments, uint256 refunded)
        external
        onlyRole(OPERATOR)
        nonReentrant
    {
        Deposit storage held = _open(job);
        (bytes32 root, uint256 paid) = _check(held, payments, refunded);
        _close(held, job, State.REFUNDED, root, paid, refunded);
        _pay(held, job, payments, refunded);
    }

    /// Returns the whole budget past its deadline; for anyone, so that no money is ever stuck.
    function reclaim(bytes32 job) external nonReentrant {
        Deposit storage held = _open(job);
        require(block.timestamp >= held.deadline, TooEarly(held.deadline));
        _close(held, job, State.RECLAIMED, 0, 0, held.amount);
        _push(job, held.submitter, held.amount);
    }

    /// Fetches what could not be delivered to the caller.
    function withdraw(address payable to) external nonReentrant {
        uint256 amount = owed[msg.sender];
        require(amount > 0, NothingOwed());
        owed[msg.sender] = 0;
        (bool accepted,) = to.call{value: amount}("");
        require(accepted, NotAccepted());
    }

    /// What is known about a job's budget; all zero when nothing was ever deposited.
    function depositOf(bytes32 job) external view returns (Deposit memory) {
        return _deposits[job];
    }

    /// What every signature of this network is bound to (EIP-712).
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// The name of a job.
    function jobId(Job calldata job) external pure returns (bytes32) {
        return job.jobId();
    }

    /// The canonical digest of a job.
    function jobHash(Job calldata job) external pure returns (bytes32) {
        return job.hash();
    }

    /// The canonical digest of a commitment.
    function commitmentHash(Commitment calldata commitment) external pure returns (bytes32) {
        return commitment.hash();
    }

    /// Whether `data` is the leaf at `index` among `count` under `root`.
    function verifyInclusion(
        bytes32 root,
        bytes calldata data,
        uint256 index,
        uint256 count,
        bytes32[] calldata siblings
    ) external pure returns (bool) {
        return Merkle.verifyInclusion(root, Merkle.leaf(data), index, count, siblings);
    }

    /// Whether a commitment stands in a batch that was anchored for its job.
    function isAnchored(
        Commitment calldata commitment,
        bytes32 root,
        uint256 index,
        uint256 count,
        bytes32[] calldata siblings
    ) external view returns (bool) {
        bytes32 vertex = Merkle.leaf(bytes.concat(commitment.hash()));
        return anchoredBlock[commitment.job][root] != 0
            && Merkle.verifyInclusion(root, vertex, index, count, siblings);
    }

    function _open(bytes32 job) private view returns (Deposit storage held) {
        held = _deposits[job];
        require(held.state != State.NONE, NothingDeposited(job));
        require(held.state == State.OPEN, NotOpen(job));
    }

    function _check(Deposit storage held, Payment[] calldata payments, uint256 refunded)
        private
        view
        returns (bytes32 root, uint256 paid)
    {
        require(payments.length <= PAYMENTS_MAX, TooManyPayments());
        bytes32[] memory leaves = new bytes32[](payments.length);
        address before = address(0);
        for (uint256 i = 0; i < payments.length; i++) {
            Payment calldata each = payments[i];
            require(each.to != address(0) && each.to != address(this), PaymentToNobody());
            require(each.to > before, PaymentsOutOfOrder());
            require(each.amount > 0, PaymentOfNothing());
            before = each.to;
            paid += each.amount;
            leaves[i] = Merkle.leaf(each.encode());
        }
        require(paid + refunded == held.amount, SumMismatch(paid + refunded, held.amount));
        root = Merkle.root(leaves);
    }

    function _close(
        Deposit storage held,
        bytes32 job,
        State state,
        bytes32 root,
        uint256 paid,
        uint256 refunded
    ) private {
        held.state = state;
        held.closedBlock = uint64(block.number);
        held.settleRoot = root;
        emit Closed(job, state, root, paid, refunded);
    }

    function _pay(
        Deposit storage held,
        bytes32 job,
        Payment[] calldata payments,
        uint256 refunded
    ) private {
        for (uint256 i = 0; i < payments.length; i++) {
            _push(job, payments[i].to, payments[i].amount);
        }
        if (refunded > 0) _push(job, held.submitter, refunded);
    }

    /// Delivers now, or keeps the money for `withdraw`: nobody who refuses money can hold up others.
    /// What the account returns is not copied, so that it cannot cost us either.
    function _push(bytes32 job, address to, uint256 amount) private {
        bool accepted;
        assembly ("memory-safe") {
            accepted := call(PUSH_GAS, to, amount, 0, 0, 0, 0)
        }
        if (accepted) {
            emit Paid(job, to, amount);
        } else {
            owed[to] += amount;
            emit Owed(job, to, amount);
        }
    }
}
