"""One transaction: priced by web3.py, signed by an account, sent, and waited for.

The key stays with its account, which only sees a digest to sign.
"""

from __future__ import annotations

import json
import time
from typing import Any

from gensyn_lightning.chain import artifact, refusal
from gensyn_lightning.chain.ledger import Signer
from gensyn_lightning.chain.reading import to_number
from gensyn_lightning.chain.rpc_client import Refused, RpcClient
from gensyn_lightning.errors import InsufficientBalance, LedgerError
from gensyn_lightning.protocol.digest import Address, Digest, keccak

WAIT_S = 120.0
_PAUSE_FIRST_S = 0.005
_PAUSE_LAST_S = 1.0


class Transactor:
    """Puts an account's calls on a chain, each in a transaction; one at a time for each account."""

    def __init__(self, rpc: RpcClient, *, wait_s: float = WAIT_S) -> None:
        self._rpc = rpc
        self._wait_s = wait_s

    def contract(self, name: str, address: Address | None = None) -> Any:
        """Return web3's view of a shipped contract; importing web3 takes a second."""
        from web3 import Web3

        known = artifact.load(name)
        eth = Web3(_provider(self._rpc)).eth
        if address is None:
            return eth.contract(abi=known.abi, bytecode=known.bytecode)
        return eth.contract(address=Web3.to_checksum_address(address), abi=known.abi)

    def sign(self, account: Signer, called: Any, amount: int = 0) -> str:
        """Return `called`, a function or constructor with its values, as a signed transaction.

        Raises `InsufficientBalance`, or `TransactionReverted` when the contract would refuse it.
        """
        from eth_account.typed_transactions.typed_transaction import TypedTransaction
        from web3 import Web3
        from web3.exceptions import ContractLogicError, Web3Exception

        who = Web3.to_checksum_address(account.address)
        held = to_number(self._rpc.ask("eth_getBalance", who, "latest"))
        if held < amount:
            raise _too_little(held, amount)
        nonce = to_number(self._rpc.ask("eth_getTransactionCount", who, "pending"))
        try:
            unsigned = called.build_transaction({"from": who, "value": amount, "nonce": nonce})
        except ContractLogicError as error:
            raise refusal.explain(_said(error)) from None
        except (Web3Exception, KeyError, TypeError, ValueError) as error:
            if "insufficient" in str(error).lower():
                raise _too_little(held, amount, "more with the chain's fees") from None
            raise LedgerError(f"no transaction fits this chain: {str(error)[:200]}") from None
        cost = amount + unsigned["gas"] * unsigned["maxFeePerGas"]
        if held < cost:
            raise _too_little(held, cost)
        fields = {key: value for key, value in unsigned.items() if key != "from"}
        fields.setdefault("accessList", [])
        digest = TypedTransaction.from_dict(fields).hash()
        signature = account.sign_digest(Digest(digest))
        fields |= {
            "r": int.from_bytes(signature[:32], "big"),
            "s": int.from_bytes(signature[32:64], "big"),
            "v": signature[64] - 27,
        }
        return "0x" + TypedTransaction.from_dict(fields).encode().hex()

    def send(self, signed: str) -> dict[str, Any]:
        """Send a signed transaction and return its receipt once it stands in a block.

        Raises `Refused` when the chain will not take it, `LedgerError` when it takes too long.
        """
        name = "0x" + keccak(bytes.fromhex(signed[2:])).hex()
        try:
            self._rpc.ask("eth_sendRawTransaction", signed)
        except Refused:
            # Asked twice because the first answer was lost, a chain refuses what it already has.
            if self._rpc.ask("eth_getTransactionByHash", name) is None:
                raise
        until, pause = time.monotonic() + self._wait_s, _PAUSE_FIRST_S
        while True:
            receipt = self._rpc.ask("eth_getTransactionReceipt", name)
            if isinstance(receipt, dict):
                return receipt
            if time.monotonic() > until:
                raise LedgerError(
                    f"{name} stands in no block after {self._wait_s:.0f} s",
                    hint="it may still come; asking again has no second effect",
                )
            time.sleep(pause)
            pause = min(2 * pause, _PAUSE_LAST_S)


def _provider(rpc: RpcClient) -> Any:
    from web3.providers.base import JSONBaseProvider

    class Provider(JSONBaseProvider):
        """web3's questions over our own transport, with its bounds and its patience."""

        def make_request(self, method: Any, params: Any) -> Any:
            plain = json.loads(self.encode_rpc_request(method, params))
            try:
                result = rpc.ask(method, *plain["params"])
            except Refused as error:
                said = {"code": error.code, "message": error.args[0]}
                if error.data:
                    said["data"] = "0x" + error.data.hex()
                return {"jsonrpc": "2.0", "id": plain["id"], "error": said}
            return {"jsonrpc": "2.0", "id": plain["id"], "result": result}

    return Provider()


def _said(error: Any) -> bytes:
    data = error.data
    return bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""


def _too_little(held: int, needed: int, more: str = "") -> InsufficientBalance:
    return InsufficientBalance(
        f"the balance is {held}, the price {needed}" + (f", {more}" if more else ""),
        hint="lower the price (max_epochs, limit_train_batches) or add to the balance",
    )
