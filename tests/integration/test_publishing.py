"""Models that must not be published, and what is left after the attempt: nothing that runs."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc_infer import Client
from mpc_infer.client import AsyncClient
from mpc_infer.client.loop import LoopThread
from mpc_infer.client.owner import Owner
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import OWNER
from mpc_infer.devnet.onnx_export import dense_onnx
from mpc_infer.devnet.training import TrainedModel
from mpc_infer.errors import (
    CorruptModel,
    ModelNotFound,
    ModelRefused,
    ModelShareMismatch,
    MpcInferError,
    SealingFailed,
    TransactionFailed,
    UnsupportedOperator,
)
from mpc_infer.model.package import ModelPackage
from mpc_infer.sharing.contexts import sealed_model_context
from mpc_infer.sharing.sealing import seal
from tests.integration.conftest import Working
from tests.unit.graph.onnx_models import make_model, node

ROW = np.ones((1, 3))


def tiny(scale: float = 1.0) -> bytes:
    return dense_onnx(((np.full((3, 2), scale), np.zeros(2)),), "tiny")


class Packager:
    """The owner, with packages in its hands."""

    def __init__(self, config: Path) -> None:
        self._loop, self._client = LoopThread("packager"), AsyncClient(config)

    def package(self, onnx: bytes, name: str) -> ModelPackage:
        async def make() -> ModelPackage:
            return await Owner(self._client.core).package(onnx, name, 1)

        return self._loop.run(make())

    def close(self) -> None:
        self._loop.run(self._client.close())
        self._loop.close()

    def reseal(self, package: ModelPackage, index: int, plaintext: bytes, context: bytes | None = None) -> ModelPackage:
        """The package with another message for one party, sealed as it should be."""

        async def make() -> ModelPackage:
            party = (await self._client.core.facts.network()).parties[index]
            where = context or sealed_model_context(package.manifest.hash, party.address)
            boxes = list(package.sealed_shares)
            boxes[index] = seal(plaintext, party.sealing_key, where)
            return dataclasses.replace(package, sealed_shares=tuple(boxes))

        return self._loop.run(make())


@pytest.fixture
def packager(net: Devnet) -> Iterator[Packager]:
    made = Packager(net.client(OWNER))
    yield made
    made.close()


def assert_not_there(owner: Client, name: str, inputs: dict[str, Any] | None = None) -> None:
    with pytest.raises(ModelNotFound):
        owner.infer(name, inputs or {"x": ROW})


@pytest.mark.usefixtures("works")
def test_an_operator_without_protocol_is_named(owner: Client) -> None:
    model = make_model([node("Sin", ["x"], "y")], {})
    with pytest.raises(UnsupportedOperator, match="sin_y"):
        owner.publish(model.SerializeToString(), "unsupported", 1)
    assert_not_there(owner, "unsupported")


@pytest.mark.usefixtures("works")
@pytest.mark.parametrize(
    "damage", [b"", b"not a model", tiny()[:-40], tiny()[:100]], ids=["empty", "text", "cut", "head"]
)
def test_a_damaged_file(owner: Client, tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(damage)
    with pytest.raises(CorruptModel):
        owner.publish(file, "damaged", 1)
    assert_not_there(owner, "damaged")


@pytest.mark.usefixtures("works")
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_weights_that_do_not_fit(owner: Client, value: float) -> None:
    with pytest.raises(ModelRefused):
        owner.publish(tiny(value), "misfit", 1)
    assert_not_there(owner, "misfit")


@pytest.mark.usefixtures("works")
@pytest.mark.parametrize("name", ["", "a" * 300, "a\nb"])
def test_names_that_are_none(owner: Client, name: str) -> None:
    with pytest.raises(CorruptModel):
        owner.publish(tiny(), name, 1)


@pytest.mark.usefixtures("works")
def test_a_tampered_share_is_refused_and_the_honest_one_still_goes(owner: Client, packager: Packager) -> None:
    honest = packager.package(tiny(), "tampered")
    other = packager.package(tiny(2.0), "tampered")
    foreign = packager.reseal(honest, 1, bytes(32) + b"MPT1" + bytes(4))
    swapped = dataclasses.replace(honest, sealed_shares=other.sealed_shares)
    with pytest.raises(ModelShareMismatch) as caught:
        owner.publish(foreign, "tampered", 1)
    assert caught.value.party == 1
    with pytest.raises(SealingFailed):
        owner.publish(swapped, "tampered", 1)
    assert_not_there(owner, "tampered")
    owner.publish(honest, "tampered", 1)
    assert np.allclose(owner.infer("tampered", {"x": ROW}).outputs["logits"], 3.0, atol=1e-3)


@pytest.mark.usefixtures("works")
def test_a_public_matrix_and_a_secret_bias(owner: Client) -> None:
    package = owner.package(tiny(), "mixed", 1, public_weights=["*"])
    name = package.graph.public_weights[0]
    package = owner.package(tiny(), "mixed", 1, public_weights=[name])
    assert package.graph.public_weights == (name,)
    others = owner.package(tiny(2.0), "mixed", 1, public_weights=[name]).public_weights
    with pytest.raises(ModelShareMismatch, match="public weights"):
        owner.publish(dataclasses.replace(package, public_weights=others), "mixed", 1)
    assert_not_there(owner, "mixed")
    owner.publish(package, "mixed", 1)
    assert np.allclose(owner.infer("mixed", {"x": ROW}).outputs["logits"], 3.0, atol=1e-3)


@pytest.mark.usefixtures("works")
def test_a_version_is_published_once(owner: Client) -> None:
    owner.publish(tiny(), "once", 1)
    with pytest.raises(TransactionFailed):
        owner.publish(tiny(2.0), "once", 1)
    assert np.allclose(owner.infer("once", {"x": ROW}).outputs["logits"], 3.0, atol=1e-3)
    owner.publish(tiny(2.0), "once", 2)
    assert np.allclose(owner.infer("once", {"x": ROW}).outputs["logits"], 6.0, atol=1e-3)


@pytest.mark.usefixtures("works")
def test_a_name_belongs_to_whoever_had_it_first(alice: Client, published: dict[str, TrainedModel]) -> None:
    # alice has no money for a transaction either; whichever comes first, the name stays the owner's.
    with pytest.raises(MpcInferError):
        alice.publish(tiny(), "breast-cancer", 2)


def test_a_model_survives_a_restart_of_its_parties(net: Devnet, works: Working, owner: Client) -> None:
    works()
    owner.publish(tiny(), "all-known", 1, public_weights=["*"])
    assert np.allclose(owner.infer("all-known", {"x": ROW}).outputs["logits"], 3.0, atol=1e-3)
    for name in ("party1", "coordinator"):
        net.role(name).ask_to_stop()
        assert net.role(name).finish() == 0
        net.restart(name)
    works()
    assert np.allclose(owner.infer("all-known", {"x": ROW}).outputs["logits"], 3.0, atol=1e-3)
