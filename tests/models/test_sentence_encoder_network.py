"""all-MiniLM-L6-v2 in a whole network: published, asked through the client, receipts checked."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from bench import sentence_encoder
from mpc_infer import Client
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import DATA_OWNER, OWNER
from mpc_infer.errors import MessageTooLarge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SENTENCES = ("The cat sits outside", "A man is playing guitar")
LARGEST_MESSAGE = 192 << 20
"""Two shares of 85 MB."""


def allow_large_messages(net: Devnet) -> None:
    for role in ("coordinator", *net.party_names):
        with net.layout.config(role).open("a", encoding="utf-8") as file:
            file.write(f"\n[limits]\nmax_message_bytes = {LARGEST_MESSAGE}\n")


def client_of(net: Devnet, name: str, *, large: bool) -> Path:
    plain = net.client(name)
    text = plain.read_text("utf-8")
    changed = plain.with_name("large.toml" if large else plain.name)
    changed.write_text(text.replace("[client]", f"[client]\nmax_message_bytes = {LARGEST_MESSAGE}") if large else text)
    changed.chmod(0o600)
    return changed


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    network = Devnet(tmp_path_factory.mktemp("devnet") / "net", parties=2)
    allow_large_messages(network)
    with network as running:
        yield running


@pytest.fixture(scope="module")
def file() -> bytes:
    return sentence_encoder.exported(sentence_encoder.load())


def test_sentences_come_back_as_vectors(net: Devnet, file: bytes) -> None:
    embedder = sentence_encoder.Embedder(sentence_encoder.load())
    rows = embedder.inputs(SENTENCES)
    (sums,) = onnxruntime.InferenceSession(file).run(None, dict(rows))
    with Client(client_of(net, OWNER, large=True)) as owner:
        published = owner.publish(file, "minilm", 1, public=True)
    assert published.manifest.input_limit >= 64
    with Client(net.client(DATA_OWNER)) as client:
        for row, expected in enumerate(embedder.finished(sums.astype(np.float64))):
            inputs = {name: values[row : row + 1] for name, values in rows.items()}
            result = client.infer("minilm", inputs, delivery="client", deadline_s=240.0)
            (found,) = result.outputs.values()
            assert float(embedder.finished(found)[0] @ expected) >= 0.99999
            print(f"{result.timings}")


def test_a_client_with_the_usual_limit_is_told_which_settings_to_raise(net: Devnet, file: bytes) -> None:
    with Client(client_of(net, OWNER, large=False)) as owner, pytest.raises(MessageTooLarge) as raised:
        owner.publish(file, "too-large", 1, public=True)
    assert "max_message_bytes" in raised.value.remedy
