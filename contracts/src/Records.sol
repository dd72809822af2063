// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.29;

/// The numbers a job is run under: parts per million, milliseconds, smallest units of money.
struct Parameters {
    uint64 auditRatePpm;
    uint64 verifiersPerSegment;
    uint64 colludingSharePpm;
    uint64 redrawsMax;
    uint64 segmentTargetMs;
    uint64 leaseMs;
    uint64 queueToStartMs;
    uint64 startToFinishMs;
    uint64 saltWindowMs;
    uint64 reportWindowMs;
    uint64 jobTotalMs;
    uint256 pricePerBatch;
    uint64 verifierSharePpm;
}

/// A request to train `program` for at most `budget`.
struct Job {
    bytes32 program;
    address submitter;
    bytes16 nonce;
    string numerics;
    bytes32 initialRoot;
    string sandboxTier;
    uint256 budget;
    uint256 valueAtStake;
    Parameters parameters;
}

/// Money that leaves escrow for one account.
struct Payment {
    address to;
    uint256 amount;
}

/// This model results from this program under these numerics; this much was re-executed.
struct Receipt {
    bytes32 job;
    bytes32 program;
    address submitter;
    bytes32 model;
    bytes32 endRoot;
    uint64 segments;
    uint64 replayed;
    uint64 owners;
    string numerics;
    string sandboxTier;
    uint8 disputeClass;
    bool singleOperator;
    bytes32 commitmentsRoot;
    bytes32 settleRoot;
    uint256 paid;
}

/// What a solver signs about a segment.
struct Commitment {
    bytes32 job;
    bytes32 task;
    uint64 taskIndex;
    uint64 fence;
    address solver;
    uint64 firstEvent;
    uint64 endEvent;
    uint64 batches;
    uint8 outcome;
    bytes32 raised;
    bytes32 startRoot;
    bytes32 endRoot;
    bytes32 tapeRoot;
    bytes32 outputsRoot;
    bytes32 witness;
    string numerics;
    string sandboxTier;
    bytes32 storeReceipt;
}

/// The canonical digests of records: EIP-712's hashStruct, field by field as in protocol/.
/// The names inside the type strings are the protocol's; golden vectors hold both sides to them.
library Records {
    string private constant PARAMETERS =
        "Parameters(uint64 audit_rate_ppm,uint64 verifiers_per_segment,uint64 colluding_share_ppm,"
        "uint64 redraws_max,uint64 segment_target_ms,uint64 lease_ms,uint64 queue_to_start_ms,"
        "uint64 start_to_finish_ms,uint64 salt_window_ms,uint64 report_window_ms,uint64 job_total_ms,"
        "uint256 price_per_batch,uint64 verifier_share_ppm)";
    bytes32 private constant PARAMETERS_TYPE = keccak256(bytes(PARAMETERS));
    bytes32 private constant JOB_NAME_TYPE =
        keccak256("JobName(bytes32 program,address submitter,bytes16 nonce)");
    bytes32 private constant JOB_TYPE = keccak256(
        bytes.concat(
            "Job(bytes32 program,address submitter,bytes16 nonce,string numerics,bytes32 initial_root,"
            "string sandbox_tier,uint256 budget,uint256 value_at_stake,Parameters parameters)",
            bytes(PARAMETERS)
        )
    );
    bytes32 private constant PAYMENT_TYPE = keccak256("Payment(address to,uint256 amount)");
    bytes32 private constant RECEIPT_TYPE = keccak256(
        "Receipt(bytes32 job,bytes32 program,address submitter,bytes32 model,bytes32 end_root,"
        "uint64 segments,uint64 replayed,uint64 owners,string numerics,string sandbox_tier,"
        "uint8 dispute_class,bool single_operator,bytes32 commitments_root,bytes32 settle_root,"
        "uint256 paid)"
    );
    bytes32 private constant COMMITMENT_TYPE = keccak256(
        "Commitment(bytes32 job,bytes32 task,uint64 task_index,uint64 fence,address solver,"
        "uint64 first_event,uint64 end_event,uint64 batches,uint8 outcome,bytes32 raised,"
        "bytes32 start_root,bytes32 end_root,bytes32 tape_root,bytes32 outputs_root,bytes32 witness,"
        "string numerics,string sandbox_tier,bytes32 store_receipt)"
    );

    /// The whole digest that names a job.
    function jobId(Job calldata job) internal pure returns (bytes32) {
        return keccak256(abi.encode(JOB_NAME_TYPE, job.program, job.submitter, job.nonce));
    }

    function hash(Parameters calldata parameters) internal pure returns (bytes32) {
        return keccak256(abi.encode(PARAMETERS_TYPE, parameters));
    }

    function hash(Job calldata job) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                JOB_TYPE,
                job.program,
                job.submitter,
                job.nonce,
                hash(job.numerics),
                job.initialRoot,
                hash(job.sandboxTier),
                job.budget,
                job.valueAtStake,
                hash(job.parameters)
            )
        );
    }

    /// The canonical bytes of a payment: what a leaf of the settle root holds.
    function encode(Payment calldata payment) internal pure returns (bytes memory) {
        return abi.encode(PAYMENT_TYPE, payment.to, payment.amount);
    }

    function hash(Receipt calldata receipt) internal pure returns (bytes32) {
        return keccak256(
            bytes.concat(
                abi.encode(
                    RECEIPT_TYPE,
                    receipt.job,
                    receipt.program,
                    receipt.submitter,
                    receipt.model,
                    receipt.endRoot,
                    receipt.segments,
                    receipt.replayed,
                    receipt.owners
                ),
                abi.encode(
                    hash(receipt.numerics),
                    hash(receipt.sandboxTier),
                    receipt.disputeClass,
                    receipt.singleOperator,
                    receipt.commitmentsRoot,
                    receipt.settleRoot,
                    receipt.paid
                )
            )
        );
    }

    function hash(Commitment calldata commitment) internal pure returns (bytes32) {
        return keccak256(
            bytes.concat(
                abi.encode(
                    COMMITMENT_TYPE,
                    commitment.job,
                    commitment.task,
                    commitment.taskIndex,
                    commitment.fence,
                    commitment.solver,
                    commitment.firstEvent,
                    commitment.endEvent,
                    commitment.batches,
                    commitment.outcome
                ),
                abi.encode(
                    commitment.raised,
                    commitment.startRoot,
                    commitment.endRoot,
                    commitment.tapeRoot,
                    commitment.outputsRoot,
                    commitment.witness,
                    hash(commitment.numerics),
                    hash(commitment.sandboxTier),
                    commitment.storeReceipt
                )
            )
        );
    }

    function hash(string calldata text) internal pure returns (bytes32) {
        return keccak256(bytes(text));
    }
}
