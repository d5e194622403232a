"""docs/protocol.md is enough: a client written from it alone works with this network, its evidence with this SDK."""

import ast
from pathlib import Path

import numpy as np
import pytest

from mpc_infer import Client
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import DATA_OWNER, OWNER
from mpc_infer.devnet.training import TrainedModel
from mpc_infer.evidence.bundle import Bundle
from mpc_infer.v1 import coordinator_pb2
from tests.integration.second_client import CLIENT, COORDINATOR, SecondClient
from tests.integration.second_crypto import HYBRID, X25519

HERE = Path(__file__).parent
TOLERANCE = 2e-3


@pytest.mark.parametrize(("suite", "delivery"), [(HYBRID, COORDINATOR), (X25519, CLIENT)])
def test_a_client_in_another_language(
    net: Devnet, alice: Client, published: dict[str, TrainedModel], suite: int, delivery: int
) -> None:
    model = published["breast-cancer"]
    rows = model.rows[3:5]
    second = SecondClient(net.client(DATA_OWNER), suite)
    sent = second.prepare("breast-cancer", rows, delivery)
    accepted = second.submit(sent, detach=True)
    assert accepted.state in (coordinator_pb2.JOB_STATE_ACCEPTED, coordinator_pb2.JOB_STATE_RUNNING)
    states = [job.state for job in second.watch(sent)]
    assert states == sorted(set(states))
    assert states[-1] == coordinator_pb2.JOB_STATE_ANCHORED
    job = second.submit(sent)
    shape, values = second.check(sent, job)["logits"]
    assert np.abs(np.reshape(values, shape) - model.plain(rows)).max() < TOLERANCE
    receipt = second.receipt(sent)
    second.check_anchored(sent, receipt)
    bundle = Bundle.from_json(second.bundle(sent, job, receipt))
    assert len(alice.verify(bundle).steps) == 7
    second.channel.close()


@pytest.mark.parametrize(("name", "public"), [("from-another-language", False), ("known-in-another-language", True)])
def test_a_model_from_another_language(net: Devnet, name: str, public: bool) -> None:
    weights = [[0.5, -1.0], [2.0, 0.25], [-0.125, 3.0]]
    second = SecondClient(net.client(OWNER), HYBRID)
    model_hash, holdings = second.publish(name, weights, public=public)
    second.activate(model_hash, name, holdings, second.network().party_set)
    assert second.model(name)[0] == model_hash
    rows = [[1.0, 2.0, -3.0], [0.0, -0.5, 4.0]]
    sent = second.prepare(name, rows, COORDINATOR)
    shape, values = second.check(sent, second.submit(sent))["y"]
    assert np.abs(np.reshape(values, shape) - np.array(rows) @ np.array(weights)).max() < TOLERANCE
    with pytest.raises(ValueError, match="element 2 of row 1"):
        second.prepare(name, [[0.0] * 3, [0.0, 0.0, -32768.0]], COORDINATOR)
    second.channel.close()


@pytest.mark.parametrize("name", ["second_client.py", "second_chain.py", "second_crypto.py"])
def test_it_shares_no_code_with_the_first(name: str) -> None:
    allowed = {"mpc_infer.v1", "tests.integration", "tests.integration.second_chain"}
    modules = {
        module
        for node in ast.walk(ast.parse((HERE / name).read_text()))
        if isinstance(node, ast.ImportFrom | ast.Import)
        for module in ([node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
        if module is not None and module.split(".")[0] in ("mpc_infer", "tests")
    }
    assert modules <= allowed
