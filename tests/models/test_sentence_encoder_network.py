"""docs/examples.md in a network that takes large models: all-MiniLM-L6-v2, and a torch network."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench import sentence_encoder
from mpc_infer import Client
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import DATA_OWNER, OWNER
from mpc_infer.errors import MessageTooLarge
from tests.pages import run_section

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SETTING = "max_message_bytes = 201326592"
PUBLISHED = 0.8939
"""How alike the first two sentences are, as the model's authors print it (sbert.net)."""


def allow_large_messages(net: Devnet) -> None:
    """As the page says."""
    for role in ("coordinator", *net.party_names):
        with net.layout.config(role).open("a", encoding="utf-8") as file:
            file.write(f"\n[limits]\n{SETTING}\n")
    owner = net.client(OWNER)
    owner.write_text(owner.read_text("utf-8").replace("[client]", f"[client]\n{SETTING}"), "utf-8")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    network = Devnet(tmp_path_factory.mktemp("devnet") / "net", parties=2)
    allow_large_messages(network)
    network.client(DATA_OWNER)
    with network as running:
        yield running


@pytest.fixture(autouse=True)
def beside_the_network(net: Devnet, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(net.layout.root.parent)
    return net.layout.root


def test_a_torch_network() -> None:
    found = run_section("examples.md", "A scikit-learn pipeline", "A torch network")
    assert found["right"] > 0.9
    assert found["deviation"] < 1e-3


def test_a_sentence_encoder() -> None:
    found = run_section("examples.md", "A sentence encoder")
    assert abs(found["alike"][0, 1] - PUBLISHED) < 1e-3
    assert np.abs(np.diag(found["alike"]) - 1).max() < 1e-9
    assert found["alike"][0, 2] < 0.2
    print(found["result"].timings)


def test_a_client_with_the_usual_limit_is_told_which_settings_to_raise(net: Devnet) -> None:
    file = sentence_encoder.exported(sentence_encoder.load())
    with Client(net.client(DATA_OWNER)) as owner, pytest.raises(MessageTooLarge) as raised:
        owner.publish(file, "too-large", 1)
    assert "max_message_bytes" in raised.value.remedy
