"""A whole EVM chain inside of a process (eth-tester, py-evm): every transaction is a block, and history is kept.

For demos and tests on machines without anvil. Its EVM is real; it has no peers, and forgets everything when it ends.
"""

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth._utils.address import generate_contract_address
from eth.exceptions import PyEVMError, TransactionNotFound
from eth.vm.forks.cancun import CancunVM
from eth.vm.spoof import SpoofTransaction
from eth_tester.backends.pyevm.main import PyEVMBackend, get_default_genesis_params
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException

from mpc_infer.chain.devchain import CHAIN_ID, FUNDS_WEI
from mpc_infer.encoding import address_bytes
from mpc_infer.errors import InvalidRequest
from mpc_infer.ids import Address

# A block must be younger than its parent, so many blocks within a second run ahead of the clock. This chain's clock is
# late by so many seconds that they do not pass the true time: a key is valid from its block on, for jobs of right now.
CLOCK_LAG_S = 60
# A called contract gets 63/64 of the gas that is left, which shows only when gas is short.
_ESTIMATE_MARGIN = (6, 5)
# What py-evm raises on a transaction that cannot be executed at all.
_REFUSED = (RLPException, ValidationError, PyEVMError, TypeError, ValueError)


class Reverted(Exception):
    """A call failed.

    Args:
        reason: what the EVM says.
        data: what the contract returned.
    """

    def __init__(self, reason: str, data: bytes) -> None:
        super().__init__(reason)
        self.data = data


@dataclass(frozen=True)
class Call:
    """A call that is executed and forgotten."""

    sender: bytes
    to: bytes
    data: bytes
    value: int = 0
    gas: int | None = None


@dataclass(frozen=True)
class Mined:
    """A transaction in its block."""

    transaction: Any
    block: Any
    receipt: Any
    gas_used: int
    contract: bytes | None


class EmbeddedChain:
    """The chain. One lock around everything: py-evm knows no threads.

    Args:
        funded: who owns coins from the start.
    """

    def __init__(self, funded: Sequence[Address]) -> None:
        account = {"balance": FUNDS_WEI, "storage": {}, "code": b"", "nonce": 0}
        # Without any account, eth-tester would make its own, with keys that everybody knows.
        owners = [address_bytes(address) for address in funded] or [b"\x01" * 20]
        genesis = get_default_genesis_params({"timestamp": int(time.time()) - CLOCK_LAG_S})
        backend = PyEVMBackend(genesis, dict.fromkeys(owners, account), ((0, CancunVM),))
        self._chain = backend.chain
        self._chain.chain_id = CHAIN_ID
        self._lock = threading.RLock()

    def head(self) -> Any:
        """The newest block that is mined."""
        with self._lock:
            return self._chain.get_canonical_block_by_number(self._chain.get_canonical_head().block_number)

    def block(self, number: int) -> Any | None:
        """A mined block, or None."""
        with self._lock:
            if not 0 <= number <= self._chain.get_canonical_head().block_number:
                return None
            return self._chain.get_canonical_block_by_number(number)

    def balance(self, account: bytes, number: int) -> int:
        """Coins of an account after a block, in wei."""
        with self._lock:
            return int(self._vm(number).state.get_balance(account))

    def nonce(self, account: bytes, number: int) -> int:
        """How many transactions an account had sent after a block."""
        with self._lock:
            return int(self._vm(number).state.get_nonce(account))

    def code(self, account: bytes, number: int) -> bytes:
        """The code at an address after a block."""
        with self._lock:
            return bytes(self._vm(number).state.get_code(account))

    def storage(self, account: bytes, slot: int, number: int) -> int:
        """A word of a contract's storage after a block."""
        with self._lock:
            return int(self._vm(number).state.get_storage(account, slot))

    def send_raw(self, raw: bytes) -> bytes:
        """Execute a signed transaction and mine its block.

        Returns:
            the transaction's hash.

        Raises:
            InvalidRequest: not a transaction of this chain, a wrong nonce, or not enough coins.
        """
        with self._lock:
            self._chain.set_header_timestamp(self._next_timestamp())
            try:
                transaction = self._checked(raw)
                self._chain.mine_all([transaction], mix_hash=os.urandom(32))
            except _REFUSED as error:
                raise InvalidRequest(_nonce_text(str(error))) from error
            return bytes(transaction.hash)

    def call(self, call: Call, number: int) -> bytes:
        """Execute a call on the state after a block.

        Raises:
            Reverted: it failed.
        """
        with self._lock:
            return bytes(self._execute(call, number).output)

    def estimate(self, call: Call, number: int) -> int:
        """Gas that is enough for a call.

        Raises:
            Reverted: it fails with any gas.
        """
        with self._lock:
            computation = self._execute(call, number)
            used = self._gas_limit(call, number) - computation.get_gas_remaining()
            return int(used) * _ESTIMATE_MARGIN[0] // _ESTIMATE_MARGIN[1]

    def mined(self, transaction_hash: bytes) -> Mined | None:
        """A transaction that was mined, or None."""
        with self._lock:
            try:
                number, index = self._chain.chaindb.get_transaction_index(transaction_hash)
            except TransactionNotFound:
                return None
            return self._mined(number, index)

    def mined_in(self, number: int) -> list[Mined]:
        """The transactions of a block."""
        with self._lock:
            block = self.block(number)
            return [] if block is None else [self._mined(number, index) for index in range(len(block.transactions))]

    def _mined(self, number: int, index: int) -> Mined:
        block = self._chain.get_canonical_block_by_number(number)
        receipts = block.get_receipts(self._chain.chaindb)
        before = receipts[index - 1].gas_used if index else 0
        transaction = block.transactions[index]
        created = None if transaction.to else generate_contract_address(transaction.sender, transaction.nonce)
        return Mined(transaction, block, receipts[index], receipts[index].gas_used - before, created)

    def _next_timestamp(self) -> int:
        parent = self._chain.get_canonical_head().timestamp
        return max(int(parent) + 1, int(time.time()) - CLOCK_LAG_S)

    def _checked(self, raw: bytes) -> Any:
        transaction = self._chain.get_vm().get_transaction_builder().decode(raw)
        transaction.validate()
        if transaction.chain_id != CHAIN_ID:
            raise InvalidRequest(f"the transaction is not for chain {CHAIN_ID}")
        return transaction

    def _vm(self, number: int) -> Any:
        block = self.block(number)
        if block is None:
            raise InvalidRequest(f"unknown block {number}")
        return self._chain.get_vm(at_header=block.header)

    def _execute(self, call: Call, number: int) -> Any:
        vm = self._vm(number)
        unsigned = vm.create_unsigned_transaction(
            nonce=vm.state.get_nonce(call.sender),
            gas_price=0,
            gas=self._gas_limit(call, number),
            to=call.to,
            value=call.value,
            data=call.data,
        )
        try:
            with vm.in_costless_state() as state:
                computation = state.costless_execute_transaction(SpoofTransaction(unsigned, from_=call.sender))
        except _REFUSED as error:
            raise InvalidRequest(str(error)) from error
        if computation.is_error:
            raise Reverted(type(computation.error).__name__, bytes(computation.output))
        return computation

    def _gas_limit(self, call: Call, number: int) -> int:
        most = int(self._vm(number).get_header().gas_limit)
        return most if call.gas is None else min(call.gas, most)


def _nonce_text(text: str) -> str:
    # What a sender looks for in order to try the next nonce.
    return f"nonce too low: {text}" if "nonce" in text.lower() else text
