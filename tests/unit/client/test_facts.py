"""A coordinator that names another network, key or model than the chain does gets nothing sent to it."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc_infer.client.config import ClientConfig
from mpc_infer.errors import (
    ConfigError,
    DeadlineExpired,
    InvalidRequest,
    ModelNotFound,
    MpcInferError,
    PartySetMismatch,
)
from mpc_infer.sharing import SealingKeys
from mpc_infer.v1 import coordinator_pb2
from tests.unit.coordinator.simulation import IMPORTED, Network

ROWS = np.array([[1.0, 2.0, 3.0]])


async def _nothing_sent(net: Network, tamper: Callable[[str, Any], Any], error: type[MpcInferError]) -> None:
    client = net.client()
    client.core.door.tamper = tamper
    with pytest.raises(error):
        await client.infer("shift", {"x": ROWS})
    assert "SubmitJob" not in [method for method, _ in client.core.door.sent]


def _foreign_chain(answer: Any) -> None:
    answer.chain_id += 1


def _foreign_anchor(answer: Any) -> None:
    answer.receipt_anchor = bytes(20)


def _foreign_registry(answer: Any) -> None:
    answer.party_registry = bytes(20)


def _foreign_party(answer: Any) -> None:
    answer.parties[1].address = bytes(20)


def _fewer_parties(answer: Any) -> None:
    del answer.parties[2]


def _other_order(answer: Any) -> None:
    first, second = answer.parties[0].address, answer.parties[1].address
    answer.parties[0].address, answer.parties[1].address = second, first


def _own_key(answer: Any) -> None:
    key = SealingKeys.generate().public()
    answer.parties[0].sealing_keys[0].public_key = key.data


def _no_key(answer: Any) -> None:
    del answer.parties[0].sealing_keys[:]


@pytest.mark.parametrize(
    "change",
    [
        _foreign_chain,
        _foreign_anchor,
        _foreign_registry,
        _foreign_party,
        _fewer_parties,
        _other_order,
        _own_key,
        _no_key,
    ],
)
async def test_a_network_that_is_not_the_chains_is_refused(net: Network, change: Callable[[Any], None]) -> None:
    def tamper(method: str, answer: Any) -> Any:
        if method == "GetNetwork":
            change(answer)
        return answer

    await _nothing_sent(net, tamper, PartySetMismatch)


def _other_hash(answer: Any) -> None:
    answer.models[0].model_hash = bytes(32)


def _other_graph(answer: Any) -> None:
    answer.models[0].graph = answer.models[0].graph.replace(b'"add"', b'"bad"')


@pytest.mark.parametrize("change", [_other_hash, _other_graph])
async def test_a_manifest_or_graph_that_does_not_hash_right_is_refused(
    net: Network, change: Callable[[Any], None]
) -> None:
    def tamper(method: str, answer: Any) -> Any:
        if method == "ListModels":
            change(answer)
        return answer

    await _nothing_sent(net, tamper, InvalidRequest)


async def test_a_coordinator_that_lists_only_an_old_version_is_refused(net: Network) -> None:
    client = net.client()
    old = (await net.service.models(coordinator_pb2.ListModelsRequest())).models[0]
    await client.publish(IMPORTED, "shift", 2)
    await client.deprecate(old.model_hash)

    def tamper(method: str, answer: Any) -> Any:
        if method == "ListModels":
            answer.models[0].CopyFrom(old)
        return answer

    await _nothing_sent(net, tamper, ModelNotFound)


async def test_one_model_is_asked_for_and_all_are_read_in_pages(net: Network) -> None:
    for version in range(2, 13):
        await net.client().publish(IMPORTED, "shift", version)
    client = net.client()
    assert len(await client.models()) == 12
    await client.infer("shift", {"x": ROWS})
    asked = [request for method, request in client.core.door.sent if method == "ListModels"]
    assert len(asked) > 2
    assert [len(request.model_hash) for request in asked] == [0] * (len(asked) - 1) + [32]


async def test_the_deadline_holds_while_facts_are_read(net: Network) -> None:
    gone = threading.Event()
    read = net.chain.party_set
    net.chain.party_set = lambda party_set: gone.wait(60) and read(party_set)
    try:
        with pytest.raises(DeadlineExpired):
            await net.client().infer("shift", {"x": ROWS}, deadline_s=0.3)
        assert not gone.is_set()
    finally:
        gone.set()


async def test_the_coordinator_is_not_asked_for_facts_beyond_the_deadline(net: Network) -> None:
    client, started = net.client(), time.monotonic()
    await client.infer("shift", {"x": ROWS}, deadline_s=7.0)
    facts = client.core.door.deadlines[:2]
    assert len(facts) == 2
    assert all(deadline <= started + 7.0 + 1.0 for deadline in facts)


@pytest.mark.parametrize(
    "change", [{"owner": "0x" + "11" * 20}, {"name": "shift "}, {"version": 2}, {"party_set": bytes(32)}]
)
async def test_a_registry_that_says_otherwise_than_the_manifest_is_noticed(
    net: Network, change: dict[str, Any]
) -> None:
    (model_hash,) = net.chain.models
    record = replace(net.chain.models[model_hash], **change)
    net.chain.active_model = lambda name: model_hash
    net.chain.model = lambda model_hash: record
    await _nothing_sent(net, lambda method, answer: answer, InvalidRequest)


CONFIG = """
[client]
keystore = "keys"
coordinator = "127.0.0.1:7000"
coordinator_address = "0x{zero}"
{extra}
[chain]
rpc_url = "http://127.0.0.1:8545"
party_registry = "0x{zero}"
model_registry = "0x{zero}"
receipt_anchor = "0x{zero}"
"""


def test_a_configuration_file_is_read_with_paths_relative_to_it(tmp_path: Path) -> None:
    path = tmp_path / "client.toml"
    path.write_text(CONFIG.format(zero="0" * 40, extra='suite = "X25519"'))
    config = ClientConfig.load(path)
    assert config.client.keystore == tmp_path / "keys"
    assert config.client.suite == "X25519"


@pytest.mark.parametrize("extra", ['suite = "RSA"', "unknown = 1", "facts_ttl_s = -1"])
def test_a_wrong_configuration_is_refused(tmp_path: Path, extra: str) -> None:
    path = tmp_path / "client.toml"
    path.write_text(CONFIG.format(zero="0" * 40, extra=extra))
    with pytest.raises(ConfigError):
        ClientConfig.load(path)
