"""Signing transactions, sending them, and waiting until they are mined."""

import threading
import time
from dataclasses import dataclass
from typing import Any

import rlp

from mpc_infer.chain.abi import decode_revert
from mpc_infer.chain.records import TxResult
from mpc_infer.chain.registry import hex_bytes, quantity, to_checksum
from mpc_infer.chain.rpc import JsonRpc, RpcError
from mpc_infer.encoding import address_bytes, keccak
from mpc_infer.errors import ChainError, ChainUnavailable, TransactionFailed
from mpc_infer.identity.signer import Signer
from mpc_infer.ids import Address

_DYNAMIC_FEE = b"\x02"  # EIP-1559
_V_OFFSET = 27
_GAS_MARGIN = (6, 5)  # what is not used is not paid
_TRIES = 3  # another process may use the same key: its nonce was faster
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.005, 1.0
_NONCE_TAKEN = ("nonce too low", "replacement transaction underpriced", "nonce has already been used")


@dataclass(frozen=True)
class _Fees:
    priority: int
    most: int


class TransactionSender:
    """Transactions of one key. Safe to use from many threads; nonces are given out under a lock.

    Args:
        rpc: the node.
        signer: who pays and signs.
        mined_within_s: how long to wait for a transaction to be mined.
    """

    def __init__(self, rpc: JsonRpc, signer: Signer, *, mined_within_s: float = 120.0) -> None:
        self._rpc = rpc
        self._signer = signer
        self._mined_within_s = mined_within_s
        self._lock = threading.Lock()
        self._next_nonce = 0

    def send(self, chain_id: int, to: Address | None, data: bytes) -> TxResult:
        """Send one transaction and wait for it.

        Args:
            chain_id: which chain it is for; no other accepts it.
            to: the contract, or None to create one.
            data: the call.

        Raises:
            TransactionFailed: it would be, or was, reverted (the message names the contract's error), or it was not
                mined in time.
            ChainUnavailable: the node does not answer.
        """
        return self._wait(self._submit(chain_id, to, data))

    def _submit(self, chain_id: int, to: Address | None, data: bytes) -> bytes:
        gas = self._estimate(to, data)
        with self._lock:
            for _ in range(_TRIES):
                raw = self._signed(chain_id, self._nonce(), gas, to, data)
                if self._accepted(raw):
                    self._next_nonce += 1
                    return keccak(raw)
                self._next_nonce = 0
        raise TransactionFailed(f"another sender uses the key of {self._signer.address} at the same time")

    def _accepted(self, raw: bytes) -> bool:
        """Hand a transaction to the node. False where its nonce was taken by another one."""
        try:
            self._rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
        except RpcError as error:
            # The door repeats a request whose connection broke: the node may have taken this very one already.
            if self._rpc.call("eth_getTransactionByHash", "0x" + keccak(raw).hex()) is not None:
                return True
            if not any(text in error.message.lower() for text in _NONCE_TAKEN):
                raise _failed(error) from error
            return False
        return True

    def _nonce(self) -> int:
        # A node may not count yet what it was just given, so our own count leads, and is forgotten on a refusal.
        pending = quantity(self._rpc.call("eth_getTransactionCount", self._signer.address, "pending"))
        self._next_nonce = max(pending, self._next_nonce)
        return self._next_nonce

    def _estimate(self, to: Address | None, data: bytes) -> int:
        request = {"from": self._signer.address, "data": "0x" + data.hex()}
        if to is not None:
            request["to"] = to
        try:
            estimate = quantity(self._rpc.call("eth_estimateGas", request))
        except RpcError as error:
            raise _failed(error) from error
        return estimate * _GAS_MARGIN[0] // _GAS_MARGIN[1]

    def _fees(self) -> _Fees:
        priority = quantity(self._rpc.call("eth_maxPriorityFeePerGas"))
        header = self._rpc.call("eth_getBlockByNumber", "latest", False)
        base = quantity(header.get("baseFeePerGas")) if isinstance(header, dict) else 0
        return _Fees(priority, 2 * base + priority)

    def _signed(self, chain_id: int, nonce: int, gas: int, to: Address | None, data: bytes) -> bytes:
        fees = self._fees()
        target = b"" if to is None else address_bytes(to)
        fields: list[Any] = [chain_id, nonce, fees.priority, fees.most, gas, target, 0, data, []]
        signature = self._signer.sign_digest(keccak(_DYNAMIC_FEE + rlp.encode(fields)))
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        return _DYNAMIC_FEE + bytes(rlp.encode([*fields, signature[64] - _V_OFFSET, r, s]))

    def _wait(self, transaction: bytes) -> TxResult:
        deadline = time.monotonic() + self._mined_within_s
        pause = _FIRST_WAIT_S
        while time.monotonic() < deadline:
            receipt = self._receipt(transaction)
            if receipt is not None:
                return _mined(transaction, receipt)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_WAIT_S)
        raise TransactionFailed(
            f"transaction 0x{transaction.hex()} was not mined within {self._mined_within_s:.0f} s",
            remedy="look it up on the chain before sending it again",
        )

    def _receipt(self, transaction: bytes) -> dict[str, Any] | None:
        try:
            receipt = self._rpc.call("eth_getTransactionReceipt", "0x" + transaction.hex())
        except ChainUnavailable:
            return None  # it may have been sent already: keep asking until the deadline
        return receipt if isinstance(receipt, dict) and receipt.get("blockNumber") is not None else None


def _mined(transaction: bytes, receipt: dict[str, Any]) -> TxResult:
    if quantity(receipt.get("status")) != 1:
        raise TransactionFailed(f"transaction 0x{transaction.hex()} was mined and reverted")
    created = receipt.get("contractAddress")
    return TxResult(
        hash=transaction,
        block=quantity(receipt.get("blockNumber")),
        gas_used=quantity(receipt.get("gasUsed")),
        contract=to_checksum("0x" + hex_bytes(created).hex()) if created else None,
    )


def _failed(error: RpcError) -> ChainError:
    revert = decode_revert(error.data)
    return TransactionFailed(f"the transaction would be reverted: {revert or error.message}")
