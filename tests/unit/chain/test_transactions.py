"""Sending over a real EVM through a door that fails as networks and other senders make it fail."""

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mpc_infer.chain.embedded import EmbeddedChain
from mpc_infer.chain.embedded_rpc import Dispatcher
from mpc_infer.chain.rpc import JsonRpc, RpcError
from mpc_infer.chain.sending import open_sender
from mpc_infer.chain.transactions import TransactionSender
from mpc_infer.encoding import keccak
from mpc_infer.errors import ChainError, ChainUnavailable, ConfigError, InvalidInput, TransactionFailed
from mpc_infer.identity.signer import Signer
from mpc_infer.ids import Address

CHAIN_ID = 31337


class Door(JsonRpc):
    """The embedded chain without the HTTP, and with what goes wrong: ``faults`` by method, each used once."""

    def __init__(self, signer: Signer) -> None:
        super().__init__("http://127.0.0.1:1")
        self.chain = EmbeddedChain([signer.address])
        self.faults: dict[str, list[Callable[..., Any]]] = {}
        self.calls: list[str] = []
        self._node = Dispatcher(self.chain)

    def call(self, method: str, *params: Any) -> Any:
        self.calls.append(method)
        waiting = self.faults.get(method)
        return waiting.pop(0)(*params) if waiting else self.ask(method, *params)

    def ask(self, method: str, *params: Any) -> Any:
        answer = self._node.answer({"id": 1, "method": method, "params": list(params)})
        if "error" not in answer:
            return answer["result"]
        data = bytes.fromhex(answer["error"].get("data", "0x")[2:])
        raise RpcError(answer["error"]["message"], code=answer["error"]["code"], data=data)


class Case:
    """A sender, its door, and a registry of parties that it deployed."""

    def __init__(self) -> None:
        self.signer = Signer.generate()
        self.door = Door(self.signer)
        self.sender = TransactionSender(self.door, self.signer, mined_within_s=5.0)
        deployed = self.sender.deploy(CHAIN_ID, "PartyRegistry", [self.signer.address]).contract
        assert deployed is not None
        self.at: Address = deployed

    def register(self, identity: Address) -> Any:
        arguments = [identity, keccak(b"tls"), [keccak(b"sealing")], "x:1"]
        return self.sender.call(CHAIN_ID, "PartyRegistry", self.at, "registerParty", arguments)

    @property
    def sent(self) -> int:
        return int(self.door.ask("eth_getTransactionCount", self.signer.address, "latest"), 16)


@pytest.fixture
def case() -> Case:
    return Case()


def somebody() -> Address:
    return Signer.generate().address


def unavailable(*_: Any) -> Any:
    raise ChainUnavailable("nobody answers")


def test_a_transaction_whose_answer_was_lost_is_not_sent_twice(case: Case) -> None:
    """The door sends it again; the node has it, and says so."""

    def lost(raw: str) -> Any:
        case.door.ask("eth_sendRawTransaction", raw)
        raise RpcError("already known", code=-32000)

    case.door.faults["eth_sendRawTransaction"] = [lost]
    before = case.sent
    assert case.register(somebody()).gas_used > 0
    assert case.sent == before + 1
    assert case.register(somebody()).gas_used > 0


def test_a_nonce_that_another_sender_took_is_given_up(case: Case) -> None:
    other = TransactionSender(case.door, case.signer)

    def late(who: str, block: str) -> str:
        count = case.door.ask("eth_getTransactionCount", who, block)
        arguments = [somebody(), keccak(b"tls"), [], "x:1"]
        other.call(CHAIN_ID, "PartyRegistry", case.at, "registerParty", arguments)
        return str(count)

    case.door.faults["eth_getTransactionCount"] = [late]
    before = case.sent
    case.register(somebody())
    assert case.sent == before + 2


def test_whoever_is_always_late_is_told(case: Case) -> None:
    def taken(_: str) -> Any:
        raise RpcError("nonce too low", code=-32000)

    case.door.faults["eth_sendRawTransaction"] = [taken] * 3
    with pytest.raises(TransactionFailed, match="another sender"):
        case.register(somebody())
    assert case.register(somebody()).gas_used > 0


def test_a_node_that_is_away_while_one_waits_is_asked_again(case: Case) -> None:
    def indexing(_: str) -> Any:
        raise RpcError("transaction indexing is in progress", code=-32000)

    case.door.faults["eth_getTransactionReceipt"] = [unavailable, lambda _: None, indexing]
    assert case.register(somebody()).gas_used > 0


def test_a_node_that_is_away_before_is_unavailable(case: Case) -> None:
    for method in ("eth_estimateGas", "eth_getTransactionCount", "eth_maxPriorityFeePerGas", "eth_sendRawTransaction"):
        case.door.faults[method] = [unavailable]
        with pytest.raises(ChainUnavailable):
            case.register(somebody())
    assert case.register(somebody()).gas_used > 0


def test_what_is_not_mined_in_time_fails(case: Case) -> None:
    sender = TransactionSender(case.door, case.signer, mined_within_s=0.05)
    case.door.faults["eth_getTransactionReceipt"] = [lambda _: None] * 100
    with pytest.raises(TransactionFailed, match="not mined within"):
        sender.deploy(CHAIN_ID, "PartyRegistry", [case.signer.address])


def test_what_was_mined_and_reverted_fails(case: Case) -> None:
    def reverted(name: str) -> Any:
        return {**case.door.ask("eth_getTransactionReceipt", name), "status": "0x0"}

    case.door.faults["eth_getTransactionReceipt"] = [reverted]
    with pytest.raises(TransactionFailed, match="mined and reverted"):
        case.register(somebody())


def test_the_contracts_error_is_named(case: Case) -> None:
    party = somebody()
    case.register(party)
    with pytest.raises(TransactionFailed, match=f"PartyExists\\({party.lower()}\\)"):
        case.register(party)


@pytest.mark.parametrize("answer", [None, "nonsense", {}, []], ids=str)
@pytest.mark.parametrize("method", ["eth_estimateGas", "eth_getTransactionCount", "eth_getBlockByNumber"])
def test_nonsense_is_refused(case: Case, method: str, answer: Any) -> None:
    case.door.faults[method] = [lambda *_: answer]
    before = case.sent
    with pytest.raises(ChainError):
        case.register(somebody())
    assert case.sent == before


@pytest.mark.parametrize("nonce", ["0x0", "0x1234", "0x" + "f" * 64])
def test_a_wrong_nonce_is_asked_for_again(case: Case, nonce: str) -> None:
    case.register(somebody())
    case.door.faults["eth_getTransactionCount"] = [lambda *_: nonce]
    before = case.sent
    assert case.register(somebody()).gas_used > 0
    assert case.register(somebody()).gas_used > 0
    assert case.sent == before + 2


def test_arguments_that_do_not_fit_are_refused_before_anything_is_asked(case: Case) -> None:
    case.door.calls.clear()
    calls = [("registerParty", [somebody()]), ("noSuchFunction", []), ("revokeSigner", [somebody(), somebody(), 2**64])]
    for function, arguments in calls:
        with pytest.raises(InvalidInput, match=function):
            case.sender.call(CHAIN_ID, "PartyRegistry", case.at, function, arguments)
    with pytest.raises(InvalidInput):
        case.sender.deploy(CHAIN_ID, "PartyRegistry", ["not an address.eth"])
    assert case.door.calls == []


def test_threads_share_the_nonces(case: Case) -> None:
    before, failures = case.sent, []

    def work() -> None:
        try:
            case.register(somebody())
        except ChainError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert case.sent == before + 6


def test_another_chain_does_not_take_it(case: Case) -> None:
    with pytest.raises(TransactionFailed, match="chain"):
        case.sender.deploy(1, "PartyRegistry", [case.signer.address])


def test_who_only_reads_does_not_load_web3() -> None:
    code = (
        "import sys; from mpc_infer.chain import ChainFacts, ContractAddresses, Registry, RegistryWriter\n"
        "from mpc_infer import Client\n"
        "at = '0x' + '11' * 20; ChainFacts(Registry('http://127.0.0.1:1', ContractAddresses(at, at, at)))\n"
        "print(sorted({'web3', 'eth_account', 'requests', 'aiohttp', 'rlp'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_who_writes_without_web3_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mpc_infer.chain.transactions")
    monkeypatch.setitem(sys.modules, "web3", None)
    with pytest.raises(ConfigError, match="needs web3") as caught:
        open_sender(JsonRpc("http://127.0.0.1:1"), Signer.generate())
    assert "mpc-infer[owner]" in caught.value.remedy
