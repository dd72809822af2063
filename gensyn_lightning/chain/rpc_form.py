"""How the embedded chain's things look in JSON-RPC, and how what is asked of it is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth.abc import BlockAPI, BlockHeaderAPI, LogAPI, SignedTransactionAPI

from gensyn_lightning.chain.evm import CHAIN_ID, TRANSACTION_BYTES_MAX, Call, Mined
from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.protocol.digest import keccak

CHOICES_MAX = 64
ADDRESS_GAS, SLOT_GAS = 2400, 1900
_DIGITS = re.compile("[0-9a-fA-F]*")


def block_json(block: BlockAPI, *, full: bool) -> dict[str, Any]:
    """Return a block with its transactions, in full or by their hashes."""
    return _header_json(block.header) | {
        "transactions": [
            transaction_json(each, block.header, index) if full else to_hex(each.hash)
            for index, each in enumerate(block.transactions)
        ],
        "uncles": [],
        "withdrawals": [],
        "totalDifficulty": "0x0",
        "size": hex(len(rlp.encode(block))),
    }


def _header_json(header: BlockHeaderAPI) -> dict[str, Any]:
    return {
        "number": hex(header.block_number),
        "hash": to_hex(header.hash),
        "parentHash": to_hex(header.parent_hash),
        "nonce": to_hex(header.nonce),
        "mixHash": to_hex(header.mix_hash),
        "sha3Uncles": to_hex(header.uncles_hash),
        "logsBloom": _bloom(header.bloom),
        "transactionsRoot": to_hex(header.transaction_root),
        "stateRoot": to_hex(header.state_root),
        "receiptsRoot": to_hex(header.receipt_root),
        "miner": to_hex(header.coinbase),
        "difficulty": "0x0",
        "extraData": to_hex(header.extra_data),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee_per_gas or 0),
        "withdrawalsRoot": to_hex(header.withdrawals_root or b""),
        "blobGasUsed": hex(header.blob_gas_used),
        "excessBlobGas": hex(header.excess_blob_gas),
        "parentBeaconBlockRoot": to_hex(header.parent_beacon_block_root or b""),
    }


def transaction_json(
    transaction: SignedTransactionAPI, header: BlockHeaderAPI, index: int
) -> dict[str, Any]:
    """Return a transaction that stands in a block, with the members of its type."""
    return {
        "type": hex(transaction.type_id or 0),
        "hash": to_hex(transaction.hash),
        "nonce": hex(transaction.nonce),
        "blockHash": to_hex(header.hash),
        "blockNumber": hex(header.block_number),
        "transactionIndex": hex(index),
        "from": to_hex(transaction.sender),
        "to": to_hex(transaction.to) if transaction.to else None,
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
        "gasPrice": hex(_price(transaction, header)),
        "input": to_hex(transaction.data),
        "chainId": hex(CHAIN_ID),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
        **_by_type(transaction),
    }


def _by_type(transaction: SignedTransactionAPI) -> dict[str, Any]:
    parity = transaction.y_parity
    if not transaction.type_id:
        return {"v": hex(2 * CHAIN_ID + 35 + parity)}  # EIP-155
    members: dict[str, Any] = {
        "accessList": [
            {
                "address": to_hex(account),
                "storageKeys": [to_hex(each.to_bytes(32, "big")) for each in slots],
            }
            for account, slots in transaction.access_list
        ],
        "yParity": hex(parity),
        "v": hex(parity),
    }
    if transaction.type_id == 2:
        members["maxFeePerGas"] = hex(transaction.max_fee_per_gas)
        members["maxPriorityFeePerGas"] = hex(transaction.max_priority_fee_per_gas)
    return members


def _price(transaction: SignedTransactionAPI, header: BlockHeaderAPI) -> int:
    tipped = (header.base_fee_per_gas or 0) + transaction.max_priority_fee_per_gas
    return int(min(transaction.max_fee_per_gas, tipped))


def _created(transaction: SignedTransactionAPI) -> str | None:
    """Return the address of the contract that a transaction creates, if it does."""
    if transaction.to:
        return None
    return to_hex(keccak(rlp.encode([transaction.sender, transaction.nonce]))[12:])


def receipt_json(mined: Mined) -> dict[str, Any]:
    """Return the receipt of a transaction."""
    transaction, receipt, header = mined.transaction, mined.receipt, mined.header
    name = bytes(transaction.hash)
    return {
        "type": hex(transaction.type_id or 0),
        "transactionHash": to_hex(name),
        "transactionIndex": hex(mined.index),
        "blockHash": to_hex(header.hash),
        "blockNumber": hex(header.block_number),
        "from": to_hex(transaction.sender),
        "to": to_hex(transaction.to) if transaction.to else None,
        "contractAddress": _created(transaction),
        "cumulativeGasUsed": hex(receipt.gas_used),
        # One transaction to a block, so that what was used up to here is what this one used.
        "gasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": hex(_price(transaction, header)),
        "logs": [
            log_json(log, header, name, mined.index, at) for at, log in enumerate(receipt.logs)
        ],
        "logsBloom": _bloom(receipt.bloom),
        "status": "0x1" if receipt.state_root == b"\x01" else "0x0",
    }


def log_json(
    log: LogAPI, header: BlockHeaderAPI, name: bytes, index: int, at: int
) -> dict[str, Any]:
    """Return a log, the one at place `at` in its block, of transaction `name` at `index`."""
    return {
        "address": to_hex(log.address),
        "topics": [to_hex(each.to_bytes(32, "big")) for each in log.topics],
        "data": to_hex(log.data),
        "blockNumber": hex(header.block_number),
        "blockHash": to_hex(header.hash),
        "transactionHash": to_hex(name),
        "transactionIndex": hex(index),
        "logIndex": hex(at),
        "removed": False,
    }


def to_hex(data: bytes) -> str:
    """Return bytes as they are written."""
    return "0x" + data.hex()


def _bloom(bloom: int) -> str:
    return to_hex(bloom.to_bytes(256, "big"))


def to_data(text: Any, size_max: int, size_min: int = 0) -> bytes:
    """Read bytes; raise `Malformed` unless they are as many as may be."""
    if not isinstance(text, str) or not text.startswith("0x") or len(text) > 2 + 2 * size_max:
        raise Malformed(f"not 0x and up to {2 * size_max} hex digits")
    if len(text) % 2 or not _DIGITS.fullmatch(text, 2):
        raise Malformed("not hexadecimal")
    data = bytes.fromhex(text[2:])
    if len(data) < size_min:
        raise Malformed(f"{len(data)} bytes are fewer than {size_min}")
    return data


def to_address(text: Any) -> bytes:
    """Read an address."""
    return to_data(text, 20, 20)


def to_digest(text: Any) -> bytes:
    """Read 32 bytes."""
    return to_data(text, 32, 32)


def to_quantity(text: Any) -> int:
    """Read a number."""
    known = isinstance(text, str) and text.startswith("0x") and 2 < len(text) <= 66
    if not known or not _DIGITS.fullmatch(text, 2):
        raise Malformed("not a quantity")
    return int(text, 16)


def to_call(value: Any) -> Call:
    """Read a call that is asked about."""
    if not isinstance(value, dict):
        raise Malformed("a call must be an object")
    return Call(
        sender=to_address(value["from"]) if value.get("from") else bytes(20),
        to=to_address(value["to"]) if value.get("to") else b"",
        value=to_quantity(value.get("value") or "0x0"),
        data=to_data(value.get("input") or value.get("data") or "0x", TRANSACTION_BYTES_MAX),
        access_gas=sum(_access_gas(each) for each in to_list(value, "accessList")),
    )


def _access_gas(entry: Any) -> int:
    """Return what an entry of an access list costs (EIP-2930)."""
    if not isinstance(entry, dict):
        raise Malformed("an access list is of objects")
    return ADDRESS_GAS + SLOT_GAS * len(to_list(entry, "storageKeys"))


def to_list(value: dict[str, Any], member: str) -> list[Any]:
    """Read a list that may be missing."""
    found = value.get(member) or []
    if not isinstance(found, list):
        raise Malformed(f"{member} must be a list")
    return found


def to_choices(value: Any, read: Callable[[Any], bytes]) -> list[bytes] | None:
    """Read what a filter lets through: one thing, one of a list, or, as None, anything."""
    if value is None or value == []:
        return None
    if not isinstance(value, list):
        return [read(value)]
    if len(value) > CHOICES_MAX:
        raise LimitExceeded(f"more than {CHOICES_MAX} choices")
    return [read(each) for each in value]
