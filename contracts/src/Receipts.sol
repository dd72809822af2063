// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.29;

import {Receipt, Records} from "./Records.sol";

/// What the chain says about finished jobs: written once, by the escrow at settlement, and never
/// changed. It does not say that the data was good or the model useful.
contract Receipts {
    using Records for Receipt;

    error OnlyTheEscrow();
    error AlreadyWritten(bytes32 job);

    event ReceiptWritten(
        bytes32 indexed job, bytes32 indexed model, address indexed submitter, bytes32 digest
    );

    /// The only writer.
    address public immutable ESCROW;

    /// The canonical digest of a job's receipt; zero before settlement.
    mapping(bytes32 job => bytes32) public digestOf;

    mapping(bytes32 job => Receipt) private _receipts;
    mapping(bytes32 model => bytes32[]) private _jobs;

    constructor() {
        ESCROW = msg.sender;
    }

    function write(Receipt calldata receipt) external returns (bytes32 digest) {
        require(msg.sender == ESCROW, OnlyTheEscrow());
        require(digestOf[receipt.job] == 0, AlreadyWritten(receipt.job));
        digest = receipt.hash();
        digestOf[receipt.job] = digest;
        _receipts[receipt.job] = receipt;
        _jobs[receipt.model].push(receipt.job);
        emit ReceiptWritten(receipt.job, receipt.model, receipt.submitter, digest);
    }

    /// The receipt of a job; all zero before settlement.
    function receiptOf(bytes32 job) external view returns (Receipt memory) {
        return _receipts[job];
    }

    /// How many settled jobs gave this model.
    function countOf(bytes32 model) external view returns (uint256) {
        return _jobs[model].length;
    }

    /// The `index`-th settled job that gave this model.
    function jobOf(bytes32 model, uint256 index) external view returns (bytes32) {
        return _jobs[model][index];
    }

    /// The canonical digest of any receipt, as protocol/canonical.py gives it.
    function hash(Receipt calldata receipt) external pure returns (bytes32) {
        return receipt.hash();
    }
}
