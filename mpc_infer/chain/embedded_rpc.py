"""JSON-RPC for the embedded chain: the methods that web3 libraries and our own door use."""

from collections.abc import Callable, Mapping
from typing import Any

from mpc_infer.chain.devchain import CHAIN_ID
from mpc_infer.chain.embedded import Call, EmbeddedChain, Mined, Reverted
from mpc_infer.encoding import keccak
from mpc_infer.errors import InvalidRequest

MAX_LOG_BLOCKS = 1000
_PRIORITY_FEE = 10**9
_LATEST = frozenset({"latest", "pending", "safe", "finalized"})
_REVERTED, _INVALID, _UNKNOWN = 3, -32602, -32601


class Dispatcher:
    """Answers requests. Safe to use from many threads, as the chain is."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self._chain = chain
        self._methods: Mapping[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: "mpc-infer-devchain/eth-tester",
            "net_version": lambda: str(CHAIN_ID),
            "eth_chainId": lambda: hex(CHAIN_ID),
            "eth_syncing": lambda: False,
            "eth_accounts": lambda: [],
            "eth_blockNumber": lambda: hex(self._head()),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBalance": lambda who, block="latest": hex(chain.balance(_address(who), self._number(block))),
            "eth_getTransactionCount": lambda who, block="latest": hex(chain.nonce(_address(who), self._number(block))),
            "eth_getCode": lambda who, block="latest": _hex(chain.code(_address(who), self._number(block))),
            "eth_getStorageAt": self._storage,
            "eth_gasPrice": lambda: hex(self._base_fee() + _PRIORITY_FEE),
            "eth_maxPriorityFeePerGas": lambda: hex(_PRIORITY_FEE),
            "eth_feeHistory": self._fee_history,
            "eth_call": lambda call, block="latest": _hex(chain.call(_call(call), self._number(block))),
            "eth_estimateGas": lambda call, block="latest": hex(chain.estimate(_call(call), self._number(block))),
            "eth_sendRawTransaction": lambda raw: _hex(chain.send_raw(_bytes(raw))),
            "eth_getTransactionByHash": lambda name: _transaction(chain.mined(_bytes(name))),
            "eth_getTransactionReceipt": lambda name: _receipt(chain.mined(_bytes(name))),
            "eth_getLogs": self._logs,
        }

    def answer(self, request: Any) -> dict[str, Any]:
        """The answer to one request, whatever was sent."""
        number = request.get("id") if isinstance(request, dict) else None
        head = {"jsonrpc": "2.0", "id": number}
        try:
            return {**head, "result": self._result(request)}
        except Reverted as error:
            text = f"execution reverted: {error}"
            return {**head, "error": {"code": _REVERTED, "message": text, "data": _hex(error.data)}}
        except LookupError as error:
            return {**head, "error": {"code": _UNKNOWN, "message": f"unknown method {error}"}}
        except (InvalidRequest, TypeError, ValueError, AttributeError) as error:
            return {**head, "error": {"code": _INVALID, "message": str(error)}}

    def _result(self, request: Any) -> Any:
        method, params = request["method"], request.get("params", [])
        if not isinstance(method, str) or not isinstance(params, list):
            raise InvalidRequest("method must be a string and params a list")
        return self._methods[method](*params)

    def _head(self) -> int:
        return int(self._chain.head().number)

    def _base_fee(self) -> int:
        return int(self._chain.head().header.base_fee_per_gas)

    def _number(self, block: Any) -> int:
        if isinstance(block, dict):
            block = block.get("blockNumber")
        if block in _LATEST:
            return self._head()
        return 0 if block == "earliest" else _int(block)

    def _storage(self, account: str, slot: str, block: Any = "latest") -> str:
        value = self._chain.storage(_address(account), _int(slot), self._number(block))
        return _hex(value.to_bytes(32, "big"))

    def _block_by_number(self, block: Any, full: bool = False) -> dict[str, Any] | None:
        found = self._chain.block(self._number(block))
        if found is None:
            return None
        mined = self._chain.mined_in(found.number) if full else []
        hashes = [_hex(transaction.hash) for transaction in found.transactions]
        return {**_header(found.header), "transactions": [_transaction(item) for item in mined] if full else hashes}

    def _fee_history(self, count: Any, newest: Any, percentiles: Any = None) -> dict[str, Any]:
        last = self._number(newest)
        first = max(0, last + 1 - min(_int(count), 1024))
        headers = [block.header for n in range(first, last + 1) if (block := self._chain.block(n)) is not None]
        fees = [hex(header.base_fee_per_gas) for header in headers]
        return {
            "oldestBlock": hex(first),
            "baseFeePerGas": [*fees, hex(self._base_fee())],
            "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
            "reward": [[hex(_PRIORITY_FEE) for _ in percentiles or []] for _ in headers],
        }

    def _logs(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        first, last = self._number(query.get("fromBlock", "latest")), self._number(query.get("toBlock", "latest"))
        last = min(last, self._head())
        if not isinstance(query.get("topics") or [], list):
            raise InvalidRequest("topics are a list")
        if last - first >= MAX_LOG_BLOCKS:
            raise InvalidRequest(f"logs are searched in at most {MAX_LOG_BLOCKS} blocks")
        found = [log for n in range(first, last + 1) for item in self._chain.mined_in(n) for log in _logs_of(item)]
        return [log for log in found if _matches(log, query)]


def _header(header: Any) -> dict[str, Any]:
    return {
        "number": hex(header.block_number),
        "hash": _hex(header.hash),
        "parentHash": _hex(header.parent_hash),
        "timestamp": hex(header.timestamp),
        "nonce": _hex(header.nonce),
        "sha3Uncles": _hex(header.uncles_hash),
        "logsBloom": _hex(header.bloom.to_bytes(256, "big")),
        "transactionsRoot": _hex(header.transaction_root),
        "stateRoot": _hex(header.state_root),
        "receiptsRoot": _hex(header.receipt_root),
        "miner": _hex(header.coinbase),
        "difficulty": hex(header.difficulty),
        "extraData": _hex(header.extra_data),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "mixHash": _hex(header.mix_hash),
        "uncles": [],
    }


def _place(mined: Mined) -> dict[str, Any]:
    return {
        "blockHash": _hex(mined.block.hash),
        "blockNumber": hex(mined.block.number),
        "transactionIndex": hex(mined.block.transactions.index(mined.transaction)),
    }


def _transaction(mined: Mined | None) -> dict[str, Any] | None:
    if mined is None:
        return None
    transaction = mined.transaction
    return {
        **_place(mined),
        "hash": _hex(transaction.hash),
        "type": hex(getattr(transaction, "type_id", 0) or 0),
        "chainId": hex(CHAIN_ID),
        "from": _hex(transaction.sender),
        "to": _hex(transaction.to) if transaction.to else None,
        "nonce": hex(transaction.nonce),
        "gas": hex(transaction.gas),
        "gasPrice": hex(transaction.max_fee_per_gas),
        "value": hex(transaction.value),
        "input": _hex(transaction.data),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
        "v": hex(transaction.y_parity if hasattr(transaction, "y_parity") else transaction.v),
    }


def _receipt(mined: Mined | None) -> dict[str, Any] | None:
    if mined is None:
        return None
    transaction, receipt = mined.transaction, mined.receipt
    base = mined.block.header.base_fee_per_gas
    return {
        **_place(mined),
        "transactionHash": _hex(transaction.hash),
        "type": hex(getattr(transaction, "type_id", 0) or 0),
        "from": _hex(transaction.sender),
        "to": _hex(transaction.to) if transaction.to else None,
        "contractAddress": _hex(mined.contract) if mined.contract else None,
        "status": "0x1" if receipt.state_root == b"\x01" else "0x0",
        "gasUsed": hex(mined.gas_used),
        "cumulativeGasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": hex(min(transaction.max_fee_per_gas, base + transaction.max_priority_fee_per_gas)),
        "logsBloom": _hex(receipt.bloom.to_bytes(256, "big")),
        "logs": _logs_of(mined),
    }


def _logs_of(mined: Mined) -> list[dict[str, Any]]:
    place = {**_place(mined), "transactionHash": _hex(mined.transaction.hash), "removed": False}
    return [
        {
            **place,
            "logIndex": hex(index),
            "address": _hex(log.address),
            "topics": [_hex(topic.to_bytes(32, "big")) for topic in log.topics],
            "data": _hex(log.data),
        }
        for index, log in enumerate(mined.receipt.logs)
    ]


def _matches(log: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    addresses = query.get("address")
    wanted = [addresses] if isinstance(addresses, str) else addresses or []
    if wanted and log["address"] not in [address.lower() for address in wanted]:
        return False
    topics = query.get("topics") or []
    if len(topics) > len(log["topics"]):
        return False
    pairs = zip(topics, log["topics"], strict=False)
    return all(want is None or have in ([want] if isinstance(want, str) else want) for want, have in pairs)


def _call(request: Mapping[str, Any]) -> Call:
    data = request.get("data", request.get("input", "0x"))
    gas = request.get("gas")
    return Call(
        sender=_address(request["from"]) if "from" in request else keccak(b"nobody")[12:],
        to=_address(request["to"]) if request.get("to") else b"",
        data=_bytes(data),
        value=_int(request.get("value", "0x0")),
        gas=None if gas is None else _int(gas),
    )


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _bytes(text: str) -> bytes:
    if not text.startswith("0x"):
        raise InvalidRequest("bytes are written as 0x and hex digits")
    return bytes.fromhex(text[2:])


def _address(text: str) -> bytes:
    data = _bytes(text)
    if len(data) != 20:
        raise InvalidRequest("an address has 20 bytes")
    return data


def _int(text: Any) -> int:
    if isinstance(text, int):
        return text
    return int(text, 16)
