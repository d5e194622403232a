"""Opening a party's share of a model. Runs at the party, when a model is installed and each time it is loaded."""

from mpc_infer.errors import InvalidInput, InvalidRequest, ModelShareMismatch
from mpc_infer.graph.ir import Graph
from mpc_infer.ids import Address
from mpc_infer.model.manifest import Manifest
from mpc_infer.sharing.commitment import model_context, open_commitment, split_opening
from mpc_infer.sharing.fixed import Ring
from mpc_infer.sharing.tensors import decode_tensors

MAX_SHARE_BYTES = 2**30


def open_model_share(
    plaintext: bytes, manifest: Manifest, graph: Graph, party_index: int, party_address: Address
) -> dict[str, Ring]:
    """Check a party's share of a model and read it.

    1. The graph is the manifest's.
    2. Salt and share open this party's commitment in the manifest.
    3. The share has exactly the graph's weights, in their shapes.

    Args:
        plaintext: the unsealed share: salt (32 bytes), then canonical tensor bytes.
        party_index: the party's place in the party set.

    Returns:
        uint64 shares of all weights by name.

    Raises:
        CorruptModel: the graph is not the manifest's.
        SealingFailed: the plaintext is too short to hold a salt.
        ModelShareMismatch: anything else does not match.
    """
    manifest.check_graph(graph)
    if not 0 <= party_index < manifest.parties:
        raise ModelShareMismatch(f"the manifest has no party {party_index}")
    salt, share = split_opening(plaintext)
    context = model_context(manifest.graph_digest, manifest.owner, manifest.name, manifest.version, party_address)
    open_commitment(manifest.share_commitments[party_index], salt, context, share, ModelShareMismatch)
    weights = _decode(share)
    _check_shapes(weights, graph)
    return weights


def _decode(share: bytes) -> dict[str, Ring]:
    try:
        return decode_tensors(share, max_bytes=MAX_SHARE_BYTES)
    except (InvalidRequest, InvalidInput) as error:
        raise ModelShareMismatch(f"the model share is malformed: {error.message}") from error


def _check_shapes(weights: dict[str, Ring], graph: Graph) -> None:
    expected = {spec.name: spec.shape for spec in graph.weights}
    if {name: array.shape for name, array in weights.items()} != expected:
        raise ModelShareMismatch("the model share does not hold exactly the graph's weights in their shapes")
