"""A published model and its parties, for the tests."""

from collections.abc import Sequence

import numpy as np

from mpc_infer.encoding import to_address
from mpc_infer.graph import Graph, ImportedModel, Node, TensorSpec
from mpc_infer.graph.input_ranges import Declared
from mpc_infer.ids import PartySetId
from mpc_infer.model.package import ModelPackage, PartyKeys, package_model
from mpc_infer.sharing import SealingKey

OWNER = to_address(b"\x01" * 20)
PARTY_SET = PartySetId(b"\x02" * 32)

GRAPH = Graph(
    inputs=(TensorSpec("x", (None, 8)),),
    outputs=(TensorSpec("y", (None, 4)),),
    weights=(TensorSpec("w", (8, 4)), TensorSpec("b", (4,))),
    nodes=(Node("dense", "Linear", ("x", "w", "b"), ("h",)), Node("relu", "Relu", ("h",), ("y",))),
)


def imported() -> ImportedModel:
    values = np.random.default_rng(7)
    return ImportedModel(GRAPH, {"w": values.normal(size=(8, 4)), "b": values.normal(size=4)})


class Parties:
    """Addresses and sealing keys of n parties."""

    def __init__(self, count: int) -> None:
        self.addresses = [to_address(bytes([0x10 + index]) * 20) for index in range(count)]
        self.keys = [SealingKey.generate() for _ in range(count)]

    @property
    def public(self) -> list[PartyKeys]:
        return [PartyKeys(address, key.public) for address, key in zip(self.addresses, self.keys, strict=True)]


def package(
    parties: Parties,
    model: ImportedModel | None = None,
    version: int = 1,
    input_limit: int | None = None,
    declared: Declared | None = None,
    keep_openings: bool = False,
    public_weights: Sequence[str] = (),
) -> ModelPackage:
    return package_model(
        model or imported(),
        name="digits",
        version=version,
        owner=OWNER,
        party_set=PARTY_SET,
        parties=parties.public,
        declared=input_limit if declared is None else declared,
        keep_openings=keep_openings,
        public_weights=public_weights,
    )
