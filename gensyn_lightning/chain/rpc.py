"""What the embedded chain can be asked: Ethereum's JSON-RPC, only the methods that are needed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from eth.abc import BlockHeaderAPI, LogAPI, SignedTransactionAPI
from eth_bloom.bloom import BloomFilter

from gensyn_lightning.chain.evm import CHAIN_ID, TRANSACTION_BYTES_MAX, Call, EmbeddedChain, Mined
from gensyn_lightning.errors import LimitExceeded, Malformed

BLOCKS_PER_QUERY_MAX = 10_000
LOGS_PER_ANSWER_MAX = 10_000
_TAGS = ("latest", "pending", "safe", "finalized", "earliest")


class Methods:
    """Every method by its name on the wire; parameters are checked, answers are JSON values."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self._chain = chain
        self._table: dict[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: "gensyn-chain",
            "net_version": lambda: str(CHAIN_ID),
            "eth_chainId": lambda: hex(CHAIN_ID),
            "eth_syncing": lambda: False,
            "eth_accounts": list,
            "eth_gasPrice": lambda: "0x0",
            "eth_maxPriorityFeePerGas": lambda: "0x0",
            "eth_feeHistory": self._fee_history,
            "eth_blockNumber": lambda: hex(chain.head().block_number),
            "eth_getBalance": lambda who, at="latest": hex(chain.balance(_address(who), _at(at))),
            "eth_getTransactionCount": lambda who, at="latest": hex(
                chain.nonce(_address(who), _at(at))
            ),
            "eth_getCode": lambda who, at="latest": _hex(chain.code(_address(who), _at(at))),
            "eth_call": lambda call, at="latest": _hex(chain.ask(_call(call), _at(at))),
            "eth_estimateGas": lambda call, at="latest": hex(chain.estimate(_call(call))),
            "eth_sendRawTransaction": lambda raw: _hex(
                chain.send(_data(raw, TRANSACTION_BYTES_MAX))
            ),
            "eth_getBlockByNumber": lambda at, full=False: self._block(_at(at), full),
            "eth_getBlockByHash": lambda name, full=False: self._block(_data(name, 32, 32), full),
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getLogs": self._logs,
        }

    def __contains__(self, method: object) -> bool:
        """Whether there is such a method."""
        return method in self._table

    def answer(self, method: str, parameters: list[Any]) -> Any:
        """Return the method's answer; raise `Malformed` for parameters it cannot take."""
        called = self._table[method]
        try:
            inspect.signature(called).bind(*parameters)
        except TypeError:
            raise Malformed(f"{method} takes other parameters") from None
        return called(*parameters)

    def _block(self, name: int | str | bytes, full: bool) -> Any:
        block = self._chain.block(name)
        transactions = [
            _transaction_json(each, block.header, index) if full is True else _hex(each.hash)
            for index, each in enumerate(block.transactions)
        ]
        return _header_json(block.header) | {
            "transactions": transactions,
            "uncles": [],
            "withdrawals": [],
            "totalDifficulty": "0x0",
            "size": "0x0",
        }

    def _transaction(self, name: Any) -> Any:
        mined = self._chain.mined(_data(name, 32, 32))
        return mined and _transaction_json(mined.transaction, mined.header, mined.index)

    def _receipt(self, name: Any) -> Any:
        mined = self._chain.mined(_data(name, 32, 32))
        return mined and _receipt_json(mined)

    def _fee_history(self, count: Any, newest: Any, percentiles: Any = None) -> Any:
        blocks = min(count if isinstance(count, int) else _quantity(count), 16)
        oldest = max(0, self._chain.block(_at(newest)).header.block_number - blocks + 1)
        rewards = [["0x0"] * (len(percentiles) if isinstance(percentiles, list) else 0)] * blocks
        return {
            "oldestBlock": hex(oldest),
            "baseFeePerGas": ["0x0"] * (blocks + 1),
            "gasUsedRatio": [0.0] * blocks,
            "reward": rewards,
        }

    def _logs(self, wanted: Any) -> Any:
        if not isinstance(wanted, dict):
            raise Malformed("a filter must be an object")
        addresses = _some(wanted.get("address"), lambda text: _address(text))
        topics = [_some(each, lambda text: _data(text, 32, 32)) for each in _list(wanted, "topics")]
        found: list[Any] = []
        for header in self._headers(wanted):
            found += self._logs_in(header, addresses, topics)
            if len(found) > LOGS_PER_ANSWER_MAX:
                raise LimitExceeded(f"more than {LOGS_PER_ANSWER_MAX} logs")
        return found

    def _headers(self, wanted: dict[str, Any]) -> Iterator[BlockHeaderAPI]:
        if "blockHash" in wanted:
            yield self._chain.block(_data(wanted["blockHash"], 32, 32)).header
            return
        first, last = (
            self._chain.block(_at(wanted.get(end, "latest"))).header.block_number
            for end in ("fromBlock", "toBlock")
        )
        if last - first >= BLOCKS_PER_QUERY_MAX:
            raise LimitExceeded(f"more than {BLOCKS_PER_QUERY_MAX} blocks")
        for number in range(first, last + 1):
            yield self._chain.block(number).header

    def _logs_in(
        self, header: BlockHeaderAPI, addresses: list[bytes] | None, topics: list[Any]
    ) -> Iterator[Any]:
        bloom = BloomFilter(header.bloom)
        if addresses is not None and not any(each in bloom for each in addresses):
            return
        block = self._chain.block(bytes(header.hash))
        at = 0
        for index, receipt in enumerate(self._chain.receipts(header)):
            for log in receipt.logs:
                if _wanted(log, addresses, topics):
                    yield _log_json(log, header, bytes(block.transactions[index].hash), index, at)
                at += 1


def _wanted(log: LogAPI, addresses: list[bytes] | None, topics: list[Any]) -> bool:
    if addresses is not None and bytes(log.address) not in addresses:
        return False
    if len(topics) > len(log.topics):
        return False
    pairs = zip(topics, log.topics, strict=False)
    return all(each is None or topic.to_bytes(32, "big") in each for each, topic in pairs)


def _header_json(header: BlockHeaderAPI) -> dict[str, Any]:
    return {
        "number": hex(header.block_number),
        "hash": _hex(header.hash),
        "parentHash": _hex(header.parent_hash),
        "nonce": _hex(header.nonce),
        "mixHash": _hex(header.mix_hash),
        "sha3Uncles": _hex(header.uncles_hash),
        "logsBloom": _bloom(header.bloom),
        "transactionsRoot": _hex(header.transaction_root),
        "stateRoot": _hex(header.state_root),
        "receiptsRoot": _hex(header.receipt_root),
        "miner": _hex(header.coinbase),
        "difficulty": "0x0",
        "extraData": _hex(header.extra_data),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee_per_gas or 0),
        "withdrawalsRoot": _hex(header.withdrawals_root or b""),
        "blobGasUsed": hex(header.blob_gas_used),
        "excessBlobGas": hex(header.excess_blob_gas),
        "parentBeaconBlockRoot": _hex(header.parent_beacon_block_root or b""),
    }


def _transaction_json(
    transaction: SignedTransactionAPI, header: BlockHeaderAPI, index: int
) -> dict[str, Any]:
    return {
        "type": hex(transaction.type_id or 0),
        "hash": _hex(transaction.hash),
        "nonce": hex(transaction.nonce),
        "blockHash": _hex(header.hash),
        "blockNumber": hex(header.block_number),
        "transactionIndex": hex(index),
        "from": _hex(transaction.sender),
        "to": _hex(transaction.to) if transaction.to else None,
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
        "gasPrice": "0x0",
        "maxFeePerGas": hex(transaction.max_fee_per_gas),
        "maxPriorityFeePerGas": hex(transaction.max_priority_fee_per_gas),
        "input": _hex(transaction.data),
        "chainId": hex(CHAIN_ID),
        "accessList": [],
        "v": hex(transaction.y_parity),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
    }


def _receipt_json(mined: Mined) -> dict[str, Any]:
    transaction, receipt, header = mined.transaction, mined.receipt, mined.header
    name = bytes(transaction.hash)
    return {
        "type": hex(transaction.type_id or 0),
        "transactionHash": _hex(name),
        "transactionIndex": hex(mined.index),
        "blockHash": _hex(header.hash),
        "blockNumber": hex(header.block_number),
        "from": _hex(transaction.sender),
        "to": _hex(transaction.to) if transaction.to else None,
        "contractAddress": None,
        "cumulativeGasUsed": hex(receipt.gas_used),
        # One transaction to a block, so that what was used up to here is what this one used.
        "gasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": "0x0",
        "logs": [
            _log_json(log, header, name, mined.index, at) for at, log in enumerate(receipt.logs)
        ],
        "logsBloom": _bloom(receipt.bloom),
        "status": "0x1" if receipt.state_root == b"\x01" else "0x0",
    }


def _log_json(
    log: LogAPI, header: BlockHeaderAPI, name: bytes, index: int, at: int
) -> dict[str, Any]:
    return {
        "address": _hex(log.address),
        "topics": [_hex(each.to_bytes(32, "big")) for each in log.topics],
        "data": _hex(log.data),
        "blockNumber": hex(header.block_number),
        "blockHash": _hex(header.hash),
        "transactionHash": _hex(name),
        "transactionIndex": hex(index),
        "logIndex": hex(at),
        "removed": False,
    }


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _bloom(bloom: int) -> str:
    return _hex(bloom.to_bytes(256, "big"))


def _data(text: Any, size_max: int, size_min: int = 0) -> bytes:
    if not isinstance(text, str) or not text.startswith("0x") or len(text) > 2 + 2 * size_max:
        raise Malformed(f"not 0x and up to {2 * size_max} hex digits")
    try:
        data = bytes.fromhex(text[2:])
    except ValueError:
        raise Malformed("not hexadecimal") from None
    if len(data) < size_min:
        raise Malformed(f"{len(data)} bytes are fewer than {size_min}")
    return data


def _address(text: Any) -> bytes:
    return _data(text, 20, 20)


def _quantity(text: Any) -> int:
    if not isinstance(text, str) or not text.startswith("0x") or len(text) > 66:
        raise Malformed("not a quantity")
    try:
        return int(text, 16)
    except ValueError:
        raise Malformed("not a quantity") from None


def _at(name: Any) -> int | str:
    return name if name in _TAGS else _quantity(name)


def _call(value: Any) -> Call:
    if not isinstance(value, dict):
        raise Malformed("a call must be an object")
    return Call(
        sender=_address(value["from"]) if value.get("from") else bytes(20),
        to=_address(value["to"]) if value.get("to") else b"",
        value=_quantity(value.get("value", "0x0")),
        data=_data(value.get("input") or value.get("data") or "0x", TRANSACTION_BYTES_MAX),
    )


def _list(value: dict[str, Any], member: str) -> list[Any]:
    found = value.get(member) or []
    if not isinstance(found, list):
        raise Malformed(f"{member} must be a list")
    return found


def _some(value: Any, read: Callable[[Any], bytes]) -> list[bytes] | None:
    if value is None:
        return None
    if isinstance(value, list):
        return [read(each) for each in value[:64]]
    return [read(value)]
