"""The manifest: canonical bytes, strict reading, a hash that covers every field."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc_infer.errors import CorruptModel
from mpc_infer.graph import TensorSpec
from mpc_infer.graph.input_ranges import Calibration, UnitRange
from mpc_infer.model.manifest import MAX_MANIFEST_BYTES, Manifest
from tests.unit.model.models import GRAPH, OWNER

MANIFEST = Manifest(
    name="digits",
    version=3,
    owner=OWNER,
    party_set="02" * 32,
    graph_digest=GRAPH.digest,
    share_commitments=(b"a" * 32, b"b" * 32),
    public_digest=None,
    frac_bits=16,
    input_ranges=(UnitRange((-(2**31) + 1,), (2**31 - 1,)),),
    calibration=None,
    analysis=1,
    error_bounds=(None,),
    value_bits=(32, 40, 40),
    inputs=GRAPH.inputs,
    outputs=GRAPH.outputs,
)
CHECKSUMMED = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def encode(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def fields() -> dict[str, Any]:
    return json.loads(MANIFEST.to_bytes())


def test_bytes_are_canonical_and_read_back() -> None:
    data = MANIFEST.to_bytes()
    assert data == encode(json.loads(data))
    assert Manifest.from_bytes(data) == MANIFEST
    assert Manifest.from_bytes(data).hash == MANIFEST.hash
    assert MANIFEST.parties == 2
    assert MANIFEST.party_set_id == b"\x02" * 32


def test_the_hash_is_a_vector() -> None:
    assert MANIFEST.hash.hex() == "d8c3602db3cc98aaefffd0fefce825e47e3382bc0e813d5b5777bd7e67974546"


def test_every_field_is_in_the_hash() -> None:
    changes: dict[str, Any] = {
        "name": "digit",
        "version": 4,
        "owner": CHECKSUMMED,
        "party_set": "03" * 32,
        "graph_digest": b"g" * 32,
        "share_commitments": (b"b" * 32, b"a" * 32),
        "public_digest": b"p" * 32,
        "frac_bits": 15,
        "input_ranges": (UnitRange((-1,), (1,)),),
        "calibration": Calibration(100, 50),
        "analysis": 2,
        "error_bounds": (1,),
        "value_bits": (32, 39, 40),
        "inputs": (TensorSpec("z", (None, 8)),),
        "outputs": (TensorSpec("y", (None, 5)),),
    }
    assert changes.keys() == Manifest.__dataclass_fields__.keys()
    hashes = {replace(MANIFEST, **{key: value}).hash for key, value in changes.items()}
    assert len(hashes | {MANIFEST.hash}) == len(changes) + 1


def test_a_checksummed_owner_is_accepted() -> None:
    replace(MANIFEST, owner=CHECKSUMMED).check()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "mpc-infer/manifest/v2"),
        ("extra", 1),
        ("name", ""),
        ("name", "Digits"),
        ("name", "../digits"),
        ("name", "a" * 65),
        ("name", "digits\n"),
        ("name", 7),
        ("version", 0),
        ("version", -1),
        ("version", 1.5),
        ("version", True),
        ("version", "1"),
        ("version", 2**53),
        ("owner", CHECKSUMMED.lower()),
        ("owner", CHECKSUMMED[2:]),
        ("owner", "0x00"),
        ("owner", None),
        ("party_set", "02" * 31),
        ("party_set", "0x" + "02" * 31),
        ("party_set", "0C" * 32),
        ("graph_digest", "zz" * 32),
        ("graph_digest", "01" * 33),
        ("graph_digest", 1),
        ("share_commitments", []),
        ("share_commitments", ["01" * 32]),
        ("share_commitments", ["01" * 32, "01" * 31]),
        ("share_commitments", ["01" * 32] * 17),
        ("share_commitments", "01" * 32),
        ("share_commitments", [["01"] * 32] * 2),
        ("public_digest", ""),
        ("public_digest", "01" * 31),
        ("public_digest", False),
        ("frac_bits", 7),
        ("frac_bits", 17),
        ("input_ranges", []),
        ("input_ranges", {}),
        ("input_ranges", [{"low": [0], "high": [1]}] * 2),
        ("input_ranges", [{"low": [0]}]),
        ("input_ranges", [{"low": 0, "high": 1}]),
        ("input_ranges", [{"low": [], "high": []}]),
        ("input_ranges", [{"low": [0] * 8, "high": [1]}]),
        ("input_ranges", [{"low": [0] * 7, "high": [1] * 7}]),
        ("input_ranges", [{"low": [2], "high": [1]}]),
        ("input_ranges", [{"low": [0], "high": [2**31]}]),
        ("input_ranges", [{"low": [-(2**31)], "high": [0]}]),
        ("input_ranges", [{"low": [0.5], "high": [1]}]),
        ("input_ranges", [{"low": [False], "high": [True]}]),
        ("input_ranges", [{"low": [0] * 16385, "high": [1] * 16385}]),
        ("calibration", {}),
        ("calibration", {"rows": 0, "margin_percent": 10}),
        ("calibration", {"rows": 10, "margin_percent": -1}),
        ("calibration", {"rows": 10, "margin_percent": 10_001}),
        ("calibration", {"rows": 10, "margin_percent": 1.5}),
        ("analysis", -1),
        ("analysis", None),
        ("value_bits", [0, 20]),
        ("value_bits", [20, 47]),
        ("value_bits", [20.5, 30]),
        ("value_bits", None),
        ("error_bounds", []),
        ("error_bounds", [1, 2]),
        ("error_bounds", [-1]),
        ("error_bounds", [1.5]),
        ("error_bounds", [2**53]),
        ("inputs", []),
        ("outputs", []),
        ("inputs", [{"name": "x", "shape": [8]}]),
        ("inputs", [{"name": "x", "shape": []}]),
        ("inputs", [{"name": "x"}]),
        ("inputs", {"name": "x", "shape": [None]}),
        ("plans", {}),
    ],
)
def test_one_wrong_field(key: str, value: Any) -> None:
    with pytest.raises(CorruptModel):
        Manifest.from_bytes(encode({**fields(), key: value}))


def test_missing_fields() -> None:
    for key in fields():
        with pytest.raises(CorruptModel):
            Manifest.from_bytes(encode({name: value for name, value in fields().items() if name != key}))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"[" * 100_000, b" " * (MAX_MANIFEST_BYTES + 1)], ids=len)
def test_bytes_that_are_no_manifest(data: bytes) -> None:
    with pytest.raises(CorruptModel):
        Manifest.from_bytes(data)


def test_bytes_that_are_not_canonical() -> None:
    for data in (MANIFEST.to_bytes() + b" ", encode(fields()).replace(b":", b": ", 1)):
        with pytest.raises(CorruptModel, match="canonical"):
            Manifest.from_bytes(data)


@given(st.binary(max_size=300))
def test_any_bytes_give_our_error(data: bytes) -> None:
    with pytest.raises(CorruptModel):
        Manifest.from_bytes(data)


def test_the_graph_it_names() -> None:
    MANIFEST.check_graph(GRAPH)
    with pytest.raises(CorruptModel, match="not the one"):
        MANIFEST.check_graph(replace(GRAPH, weights=GRAPH.weights[::-1]))


def test_inputs_that_are_not_the_graphs() -> None:
    with pytest.raises(CorruptModel, match="other inputs or outputs"):
        replace(MANIFEST, inputs=(TensorSpec("x", (None, 9)),)).check_graph(GRAPH)
