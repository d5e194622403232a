"""The manifest: everything public about one version of a model. Its digest is the model hash."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mpc_infer.encoding import DIGEST_BYTES, address_bytes, canonical_json, digest, same_digest, to_address
from mpc_infer.errors import CorruptModel, InvalidInput, InvalidRequest, ModelShareMismatch
from mpc_infer.graph.input_ranges import Calibration, UnitRange
from mpc_infer.graph.ir import Graph, TensorSpec
from mpc_infer.graph.wire import check_fields, parse_canonical, read_specs
from mpc_infer.ids import Address, ModelHash, PartySetId
from mpc_infer.model import stated
from mpc_infer.sharing.fixed import FixedPoint

SCHEMA = "mpc-infer/manifest/v3"
MAX_MANIFEST_BYTES = 2**20
MAX_PARTIES = 16
MAX_VERSION = 2**53 - 1
MIN_FRAC_BITS, MAX_FRAC_BITS = 8, 16
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Manifest:
    """One immutable version of a model.

    Attributes:
        name: lower case letters, digits, ``.``, ``_``, ``-``; at most 64.
        version: from 1; with the name it names the version for ever.
        owner: whose key publishes it.
        party_set: 64 hex digits, the ordered set of parties that hold the shares.
        graph_digest: 32 bytes, :attr:`mpc_infer.graph.ir.Graph.digest`.
        share_commitments: 32 bytes per party, in the party set's order. They hide the secret weights.
        public_digest: 32 bytes, the digest of the weights that the graph marks as public; None: it marks none.
        frac_bits: fractional bits of weights, inputs and outputs.
        input_ranges: of every input, in units of 2^-frac_bits. For rows inside the owner showed, before the weights
            were split, that no value leaves the range of fixed point (mpc_infer.graph.numerics). Clients enforce them.
        calibration: where the ranges are from, if they are from rows. That other rows are inside is not proven.
        analysis: version of the rules by which the owner judged ranges and errors; 0: rules of its own.
        error_bounds: for every output how many units it may be off, for any row inside; None: nothing is said.
        value_bits: for every input of the graph and then for what each node makes: values are below 2^bits units in
            size. Engines make comparisons as wide, and openings as long, as these want. Empty: nothing is said.
        inputs, outputs: names and shapes; None on axis 0 is the number of rows.
    """

    name: str
    version: int
    owner: Address
    party_set: str
    graph_digest: bytes
    share_commitments: tuple[bytes, ...]
    public_digest: bytes | None
    frac_bits: int
    input_ranges: tuple[UnitRange, ...]
    calibration: Calibration | None
    analysis: int
    error_bounds: tuple[int | None, ...]
    value_bits: tuple[int, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def to_bytes(self) -> bytes:
        """RFC 8785 bytes: what is hashed, stored and sent."""
        return canonical_json(
            {
                "schema": SCHEMA,
                "name": self.name,
                "version": self.version,
                "owner": self.owner,
                "party_set": self.party_set,
                "graph_digest": self.graph_digest.hex(),
                "share_commitments": [commitment.hex() for commitment in self.share_commitments],
                "public_digest": None if self.public_digest is None else self.public_digest.hex(),
                "frac_bits": self.frac_bits,
                "input_ranges": stated.ranges_json(self.input_ranges),
                "calibration": stated.calibration_json(self.calibration),
                "analysis": self.analysis,
                "error_bounds": list(self.error_bounds),
                "value_bits": list(self.value_bits),
                "inputs": [{"name": spec.name, "shape": list(spec.shape)} for spec in self.inputs],
                "outputs": [{"name": spec.name, "shape": list(spec.shape)} for spec in self.outputs],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        """Read and check a manifest.

        Raises:
            CorruptModel: a field is missing, unknown or malformed, or the bytes are not the canonical ones.
        """
        fields = parse_canonical(data, MAX_MANIFEST_BYTES, "manifest")
        check_fields(fields, {"schema", *cls.__dataclass_fields__}, "a manifest")
        if fields.pop("schema") != SCHEMA:
            raise CorruptModel(f"the manifest's schema is not {SCHEMA}")
        manifest = cls(**_read(fields))
        manifest.check()
        _check_canonical(manifest, data)
        return manifest

    @cached_property
    def hash(self) -> ModelHash:
        """32 bytes that name this version everywhere."""
        return ModelHash(digest("model-hash", self.to_bytes()))

    @property
    def party_set_id(self) -> PartySetId:
        """The party set as the registry's 32 bytes."""
        return PartySetId(bytes.fromhex(self.party_set))

    @property
    def parties(self) -> int:
        """How many parties hold a share."""
        return len(self.share_commitments)

    @property
    def fixed(self) -> FixedPoint:
        """How engines hold the model's numbers."""
        return FixedPoint(self.frac_bits, self.value_bits)

    @property
    def input_limit(self) -> int:
        """The smallest whole number so that every input lies strictly between it and its negative."""
        return (max(given.largest for given in self.input_ranges) >> self.frac_bits) + 1

    def check(self) -> None:
        """Check every field's form and range.

        Raises:
            CorruptModel: one is wrong; the message names it.
        """
        _check_names(self)
        _check_numbers(self)
        for spec in (*self.inputs, *self.outputs):
            if not spec.shape or spec.shape[0] is not None:
                raise CorruptModel(f"tensor {spec.name!r} in the manifest has no batch axis")
        stated.check_ranges(self.input_ranges, self.inputs, self.frac_bits)
        stated.check_bounds(self.error_bounds, len(self.outputs))
        stated.check_origin(self.calibration, self.analysis)
        stated.check_value_bits(self.value_bits)

    def check_graph(self, graph: Graph) -> None:
        """Check that a graph is the one that this manifest names.

        Raises:
            CorruptModel: another digest, other inputs or outputs, or public weights without a digest or the reverse.
        """
        if not same_digest(graph.digest, self.graph_digest):
            raise CorruptModel(f"the graph is not the one that the manifest of {self.name!r} names")
        if graph.inputs != self.inputs or graph.outputs != self.outputs:
            raise CorruptModel(f"the manifest of {self.name!r} lists other inputs or outputs than its graph")
        if self.value_bits and len(self.value_bits) != len(graph.inputs) + len(graph.nodes):
            raise CorruptModel(f"the manifest of {self.name!r} does not say how large the values of each node are")
        if (self.public_digest is not None) != bool(graph.public_weights):
            raise CorruptModel(f"the manifest of {self.name!r} has no digest of public weights, or one of none")

    def check_public(self, data: bytes) -> None:
        """Check that public weights are those of this manifest.

        Args:
            data: their canonical tensor bytes, with the manifest's fractional bits; empty: there are none.

        Raises:
            ModelShareMismatch: they are others.
        """
        expected = self.public_digest or b""
        if not same_digest(weights_digest(data) if data else b"", expected):
            raise ModelShareMismatch(
                f"the public weights are not those that the manifest of {self.name!r} names",
                remedy="send the package as it was made, or package the model again",
            )


def weights_digest(data: bytes) -> bytes:
    """32 bytes that name public weights, of their canonical tensor bytes."""
    return digest("public-weights", data)


def _check_names(manifest: Manifest) -> None:
    if not NAME.fullmatch(manifest.name):
        raise CorruptModel(
            f"{manifest.name[:80]!r} cannot name a model", remedy="use a-z, 0-9, '.', '_', '-', at most 64"
        )
    try:
        canonical_owner = to_address(address_bytes(manifest.owner))
    except InvalidRequest as error:
        raise CorruptModel("the manifest's owner is not an address") from error
    if manifest.owner != canonical_owner:
        raise CorruptModel("the manifest's owner is not in checksummed form (EIP-55)")
    if not _HEX.fullmatch(manifest.party_set):
        raise CorruptModel("the manifest's party set is not 64 lower-case hex digits")


def _check_numbers(manifest: Manifest) -> None:
    if not 1 <= manifest.version <= MAX_VERSION:
        raise CorruptModel(f"a model's version lies between 1 and 2^53 - 1, not {manifest.version}")
    if not 2 <= manifest.parties <= MAX_PARTIES:
        raise CorruptModel(f"a model is shared among 2 to {MAX_PARTIES} parties, not {manifest.parties}")
    if any(len(commitment) != DIGEST_BYTES for commitment in _digests(manifest)):
        raise CorruptModel("a digest in the manifest does not have 32 bytes")
    if not MIN_FRAC_BITS <= manifest.frac_bits <= MAX_FRAC_BITS:
        raise CorruptModel(f"fractional bits lie between {MIN_FRAC_BITS} and {MAX_FRAC_BITS}, not {manifest.frac_bits}")
    if not manifest.inputs or not manifest.outputs:
        raise CorruptModel("the manifest lists no input or no output")


def _digests(manifest: Manifest) -> list[bytes]:
    public = [] if manifest.public_digest is None else [manifest.public_digest]
    return [manifest.graph_digest, *manifest.share_commitments, *public]


def _read(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON types to ours. What :meth:`Manifest.check` judges by value is only given its type here."""
    commitments = fields["share_commitments"]
    if not isinstance(commitments, list) or len(commitments) > MAX_PARTIES:
        raise CorruptModel("the manifest's share commitments are not a short list")
    return {
        **{key: _typed(fields, key, str) for key in ("name", "owner", "party_set")},
        **{key: _typed(fields, key, int) for key in ("version", "frac_bits", "analysis")},
        "input_ranges": stated.read_ranges(fields["input_ranges"]),
        "calibration": stated.read_calibration(fields["calibration"]),
        "error_bounds": stated.read_bounds(fields["error_bounds"]),
        "value_bits": stated.read_value_bits(fields["value_bits"]),
        "graph_digest": _digest(fields["graph_digest"]),
        "share_commitments": tuple(_digest(text) for text in commitments),
        "public_digest": None if fields["public_digest"] is None else _digest(fields["public_digest"]),
        "inputs": read_specs(fields["inputs"], "an input"),
        "outputs": read_specs(fields["outputs"], "an output"),
    }


def _typed(fields: Mapping[str, object], key: str, kind: type) -> Any:
    if type(fields[key]) is not kind:
        raise CorruptModel(f"the manifest's {key} is not of type {kind.__name__}")
    return fields[key]


def _digest(text: object) -> bytes:
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        raise CorruptModel("a digest in the manifest is not 64 lower-case hex digits")
    return bytes.fromhex(text)


def _check_canonical(manifest: Manifest, data: bytes) -> None:
    try:
        canonical = manifest.to_bytes()
    except InvalidInput as error:
        raise CorruptModel("the manifest has no canonical form") from error
    if canonical != data:
        raise CorruptModel("the manifest's bytes are not canonical (RFC 8785)")
