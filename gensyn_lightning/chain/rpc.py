"""What the embedded chain can be asked: Ethereum's JSON-RPC, only the methods that are needed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from eth.abc import BlockAPI, BlockHeaderAPI, LogAPI
from eth_bloom.bloom import BloomFilter

from gensyn_lightning import __version__
from gensyn_lightning.chain.evm import CHAIN_ID, TRANSACTION_BYTES_MAX, EmbeddedChain
from gensyn_lightning.chain.rpc_form import (
    block_json,
    log_json,
    receipt_json,
    to_address,
    to_call,
    to_choices,
    to_data,
    to_digest,
    to_hex,
    to_list,
    to_quantity,
    transaction_json,
)
from gensyn_lightning.errors import LimitExceeded, Malformed, NotFound
from gensyn_lightning.protocol.digest import keccak

FEE_BLOCKS_MAX = 256
BLOCKS_PER_QUERY_MAX = 10_000
LOGS_PER_ANSWER_MAX = 10_000
_TAGS = ("latest", "pending", "safe", "finalized", "earliest")


class Methods:
    """Every method by its name on the wire; parameters are checked, answers are JSON values."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self._chain = chain
        self._table: dict[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: f"gensyn-chain/v{__version__}",
            "web3_sha3": lambda data: to_hex(keccak(to_data(data, TRANSACTION_BYTES_MAX))),
            "net_version": lambda: str(CHAIN_ID),
            "net_listening": lambda: True,
            "net_peerCount": lambda: "0x0",
            "eth_chainId": lambda: hex(CHAIN_ID),
            "eth_syncing": lambda: False,
            "eth_accounts": list,
            "eth_gasPrice": lambda: "0x0",
            "eth_maxPriorityFeePerGas": lambda: "0x0",
            "eth_feeHistory": self._fee_history,
            "eth_blockNumber": lambda: hex(chain.head().block_number),
            "eth_getBalance": lambda who, at="latest": hex(
                chain.balance(to_address(who), self._at(at))
            ),
            "eth_getTransactionCount": lambda who, at="latest": hex(
                chain.nonce(to_address(who), self._at(at))
            ),
            "eth_getCode": lambda who, at="latest": to_hex(
                chain.code(to_address(who), self._at(at))
            ),
            "eth_getStorageAt": lambda who, slot, at="latest": to_hex(
                chain.storage(to_address(who), to_quantity(slot), self._at(at))
            ),
            "eth_call": lambda call, at="latest": to_hex(chain.ask(to_call(call), self._at(at))),
            "eth_estimateGas": lambda call, at="latest": hex(chain.estimate(to_call(call))),
            "eth_sendRawTransaction": lambda raw: to_hex(
                chain.send(to_data(raw, TRANSACTION_BYTES_MAX))
            ),
            "eth_getBlockByNumber": self._block,
            "eth_getBlockByHash": self._block,
            "eth_getBlockReceipts": self._receipts,
            "eth_getBlockTransactionCountByNumber": self._count,
            "eth_getBlockTransactionCountByHash": self._count,
            "eth_getTransactionByBlockNumberAndIndex": self._transaction_in,
            "eth_getTransactionByBlockHashAndIndex": self._transaction_in,
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

    def _at(self, name: Any) -> int | str:
        """Read which block is meant: a number, a tag, or an object that names one (EIP-1898)."""
        if isinstance(name, dict) and "blockHash" in name:
            return self._chain.block(to_digest(name["blockHash"])).header.block_number
        if isinstance(name, dict):
            return to_quantity(name.get("blockNumber"))
        return name if isinstance(name, str) and name in _TAGS else to_quantity(name)

    def _found(self, name: Any) -> BlockAPI | None:
        """Return a block by its hash or else by `_at`; None where the chain has no such thing."""
        by_hash = isinstance(name, str) and len(name) == 66
        try:
            return self._chain.block(to_digest(name) if by_hash else self._at(name))
        except NotFound:
            return None

    def _block(self, name: Any, full: Any = False) -> Any:
        block = self._found(name)
        return block and block_json(block, full=full is True)

    def _count(self, name: Any) -> Any:
        block = self._found(name)
        return block and hex(len(block.transactions))

    def _transaction(self, name: Any) -> Any:
        mined = self._chain.mined(to_digest(name))
        return mined and transaction_json(mined.transaction, mined.header, mined.index)

    def _transaction_in(self, name: Any, index: Any) -> Any:
        block, place = self._found(name), to_quantity(index)
        if block is None or place >= len(block.transactions):
            return None
        return transaction_json(block.transactions[place], block.header, place)

    def _receipt(self, name: Any) -> Any:
        mined = self._chain.mined(to_digest(name))
        return mined and receipt_json(mined)

    def _receipts(self, name: Any) -> Any:
        block = self._found(name)
        return block and [self._receipt(to_hex(each.hash)) for each in block.transactions]

    def _fee_history(self, count: Any, newest: Any, percentiles: Any = None) -> Any:
        last = self._chain.block(self._at(newest)).header.block_number
        wanted = count if isinstance(count, int) else to_quantity(count)
        oldest = max(0, last + 1 - min(wanted, FEE_BLOCKS_MAX))
        headers = [self._chain.block(number).header for number in range(oldest, last + 1)]
        answer: dict[str, Any] = {
            "oldestBlock": hex(oldest),
            "baseFeePerGas": ["0x0"] * (len(headers) + 1),
            "gasUsedRatio": [each.gas_used / each.gas_limit for each in headers],
        }
        if isinstance(percentiles, list):
            answer["reward"] = [["0x0"] * len(percentiles)] * len(headers)
        return answer

    def _logs(self, wanted: Any) -> Any:
        if not isinstance(wanted, dict):
            raise Malformed("a filter must be an object")
        addresses = to_choices(wanted.get("address"), to_address)
        topics = [to_choices(each, to_digest) for each in to_list(wanted, "topics")]
        found: list[Any] = []
        for header in self._headers(wanted):
            found += self._logs_in(header, addresses, topics)
            if len(found) > LOGS_PER_ANSWER_MAX:
                raise LimitExceeded(f"more than {LOGS_PER_ANSWER_MAX} logs")
        return found

    def _headers(self, wanted: dict[str, Any]) -> Iterator[BlockHeaderAPI]:
        if "blockHash" in wanted:
            if wanted.keys() & {"fromBlock", "toBlock"}:
                raise Malformed("a block by its hash, or a range, not both")
            yield self._chain.block(to_digest(wanted["blockHash"])).header
            return
        head = self._chain.head().block_number
        first, last = (
            self._number(wanted.get(end) or "latest", head) for end in ("fromBlock", "toBlock")
        )
        last = min(last, head)
        if last - first >= BLOCKS_PER_QUERY_MAX:
            raise LimitExceeded(f"more than {BLOCKS_PER_QUERY_MAX} blocks")
        for number in range(first, last + 1):
            yield self._chain.block(number).header

    def _number(self, name: Any, head: int) -> int:
        place = self._at(name)
        if isinstance(place, int):
            return place
        return 0 if place == "earliest" else head

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
                    yield log_json(log, header, bytes(block.transactions[index].hash), index, at)
                at += 1


def _wanted(log: LogAPI, addresses: list[bytes] | None, topics: list[Any]) -> bool:
    if addresses is not None and bytes(log.address) not in addresses:
        return False
    if len(topics) > len(log.topics):
        return False
    pairs = zip(topics, log.topics, strict=False)
    return all(each is None or topic.to_bytes(32, "big") in each for each, topic in pairs)
