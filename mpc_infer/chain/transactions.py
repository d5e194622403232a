"""Sending transactions with web3, and waiting until they are mined.

The only module that imports web3, which takes seconds: it is itself imported by those who write (``sending``). web3
knows the contracts, fills in and encodes transactions, and reads receipts; its requests go through our own door, with
its deadline, its limits and its errors, and the key stays in its Signer (docs/adr/0009).
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes
from web3 import Web3
from web3.contract.contract import ContractConstructor, ContractFunction
from web3.eth import Eth
from web3.exceptions import TransactionNotFound, Web3Exception
from web3.providers import JSONBaseProvider
from web3.types import Nonce, RPCEndpoint, RPCResponse, TxParams, TxReceipt, Wei

from mpc_infer.chain.abi import contract, decode_revert
from mpc_infer.chain.records import TxResult
from mpc_infer.chain.rpc import JsonRpc, RpcError
from mpc_infer.encoding import keccak
from mpc_infer.errors import ChainError, ChainUnavailable, InvalidInput, TransactionFailed
from mpc_infer.identity.signer import Signer
from mpc_infer.ids import Address

_DYNAMIC_FEE = 2  # EIP-1559
_V_OFFSET = 27
_GAS_MARGIN = (6, 5)  # what is not used is not paid
_TRIES = 3  # another process may use the same key: its nonce was faster
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.005, 1.0
_NONCE_TAKEN = ("nonce too low", "replacement transaction underpriced", "nonce has already been used")
# What web3 raises on arguments that do not fit, and on answers that are not what the protocol says.
_WEB3_ERRORS = (Web3Exception, TypeError, ValueError, LookupError, AttributeError)

Prepared = ContractFunction | ContractConstructor


class DoorProvider(JSONBaseProvider):
    """web3's requests, through our door to the node."""

    def __init__(self, rpc: JsonRpc) -> None:
        super().__init__()
        self._rpc = rpc

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """One request. The door's errors pass through web3 as they are."""
        return {"jsonrpc": "2.0", "id": 0, "result": self._rpc.call(method, *params)}


class TransactionSender:
    """Transactions of one key. Safe to use from many threads; nonces are given out under a lock.

    Args:
        rpc: the node.
        signer: who pays and signs.
        mined_within_s: how long to wait for a transaction to be mined.
    """

    def __init__(self, rpc: JsonRpc, signer: Signer, *, mined_within_s: float = 120.0) -> None:
        # No middleware and no ENS: nothing is looked up that was not asked for.
        self._eth: Eth = Web3(DoorProvider(rpc), middleware=[], modules={"eth": Eth}, ens=None).eth
        self._signer = signer
        self._mined_within_s = mined_within_s
        self._lock = threading.Lock()
        self._next_nonce = 0

    def call(self, chain_id: int, name: str, at: Address, function: str, arguments: Sequence[Any]) -> TxResult:
        """Call a contract's function in a transaction, and wait for it.

        Args:
            chain_id: which chain it is for; no other accepts it.
            name: which contract, and ``at`` where it is.
            at: the contract's address.
            function: the function's name.
            arguments: as the ABI has them.

        Raises:
            InvalidInput: the arguments do not fit.
            TransactionFailed: it would be, or was, reverted (the message names the contract's error), or it was not
                mined in time.
            ChainUnavailable: the node does not answer.
        """
        with _fitting(f"{name}.{function}"):
            place = self._eth.contract(address=Web3.to_checksum_address(at), abi=contract(name).abi)
            prepared = place.get_function_by_name(function)(*arguments)
        return self._send(chain_id, prepared)

    def deploy(self, chain_id: int, name: str, arguments: Sequence[Any]) -> TxResult:
        """Create a contract, and wait for it. Raises as ``call`` does."""
        with _fitting(name):
            compiled = contract(name)
            factory = self._eth.contract(abi=compiled.abi, bytecode=HexBytes(compiled.bytecode))
            prepared = factory.constructor(*arguments)
        return self._send(chain_id, prepared)

    def _send(self, chain_id: int, prepared: Prepared) -> TxResult:
        with _usable_answers():
            return self._wait(self._submit(chain_id, prepared))

    def _submit(self, chain_id: int, prepared: Prepared) -> bytes:
        gas = self._estimate(prepared)
        with self._lock:
            for _ in range(_TRIES):
                nonce, self._next_nonce = self._nonce(), 0
                raw = self._signed(chain_id, nonce, gas, prepared)
                if self._accepted(raw):
                    self._next_nonce = nonce + 1
                    return keccak(raw)
        raise TransactionFailed(f"another sender uses the key of {self._signer.address} at the same time")

    def _accepted(self, raw: bytes) -> bool:
        """Hand a transaction to the node. False where its nonce was taken by another one."""
        try:
            self._eth.send_raw_transaction(HexBytes(raw))
        except RpcError as error:
            # The door repeats a request whose connection broke: the node may have taken this very one already.
            if self._known(keccak(raw)):
                return True
            if not any(text in error.message.lower() for text in _NONCE_TAKEN):
                raise _failed(error) from error
            return False
        return True

    def _known(self, transaction: bytes) -> bool:
        try:
            self._eth.get_transaction(HexBytes(transaction))
        except TransactionNotFound:
            return False
        return True

    def _nonce(self) -> int:
        # A node may not count yet what it was just given, so our own count leads, and is forgotten when anything fails.
        pending = self._eth.get_transaction_count(Web3.to_checksum_address(self._signer.address), "pending")
        return max(int(pending), self._next_nonce)

    def _estimate(self, prepared: Prepared) -> int:
        try:
            estimate = prepared.estimate_gas(self._sender())
        except RpcError as error:
            raise _failed(error) from error
        return int(estimate) * _GAS_MARGIN[0] // _GAS_MARGIN[1]

    def _sender(self) -> TxParams:
        return {"from": Web3.to_checksum_address(self._signer.address), "value": Wei(0)}

    def _signed(self, chain_id: int, nonce: int, gas: int, prepared: Prepared) -> bytes:
        """The encoded transaction. web3 asks for the fees; the key signs the digest where it is."""
        sender: TxParams = {**self._sender(), "chainId": chain_id, "nonce": Nonce(nonce), "gas": gas}
        built = prepared.build_transaction(sender)
        fields = {**{name: value for name, value in built.items() if name != "from"}, "type": _DYNAMIC_FEE}
        signature = self._signer.sign_digest(bytes(TypedTransaction.from_dict(fields).hash()))
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        return bytes(TypedTransaction.from_dict({**fields, "v": signature[64] - _V_OFFSET, "r": r, "s": s}).encode())

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

    def _receipt(self, transaction: bytes) -> TxReceipt | None:
        try:
            receipt = self._eth.get_transaction_receipt(HexBytes(transaction))
        except (TransactionNotFound, ChainUnavailable, RpcError):
            return None  # it was sent, and may be mined yet: keep asking until the deadline
        return receipt if receipt["blockNumber"] is not None else None


def _mined(transaction: bytes, receipt: TxReceipt) -> TxResult:
    if receipt["status"] != 1:
        raise TransactionFailed(f"transaction 0x{transaction.hex()} was mined and reverted")
    created = receipt["contractAddress"]
    return TxResult(
        hash=transaction,
        block=int(receipt["blockNumber"]),
        gas_used=int(receipt["gasUsed"]),
        contract=Address(created) if created else None,
    )


def _failed(error: RpcError) -> ChainError:
    revert = decode_revert(error.data)
    return TransactionFailed(f"the transaction would be reverted: {revert or error.message}")


@contextmanager
def _fitting(what: str) -> Iterator[None]:
    try:
        yield
    except _WEB3_ERRORS as error:
        raise InvalidInput(f"{what} cannot be called with these arguments: {error}") from error


@contextmanager
def _usable_answers() -> Iterator[None]:
    try:
        yield
    except _WEB3_ERRORS as error:
        raise ChainError(f"the chain's node answered something else than was asked: {type(error).__name__}") from error
