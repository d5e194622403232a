"""Opening a party's share of a model, and reading its public weights.

Runs at the party, when a model is installed and each time it is loaded.
"""

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
    3. The share has exactly the graph's secret weights, in their shapes: nothing where all are public.

    Args:
        plaintext: the unsealed share: salt (32 bytes), then canonical tensor bytes.
        party_index: the party's place in the party set.

    Returns:
        uint64 shares of all secret weights by name.

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
    return _read(share, graph, public=False)


def open_public_weights(data: bytes, manifest: Manifest, graph: Graph) -> dict[str, Ring]:
    """Check a model's public weights and read them.

    1. Their digest is the manifest's.
    2. They are exactly the graph's public weights, in their shapes.

    Args:
        data: canonical tensor bytes; empty: there are none.
        graph: the manifest's, checked.

    Returns:
        Encoded uint64 values by name.

    Raises:
        ModelShareMismatch: they are others.
    """
    manifest.check_public(data)
    return _read(data, graph, public=True) if data else {}


def _read(data: bytes, graph: Graph, *, public: bool) -> dict[str, Ring]:
    what = "public weights" if public else "model share"
    try:
        weights = decode_tensors(data, max_bytes=MAX_SHARE_BYTES)
    except (InvalidRequest, InvalidInput) as error:
        raise ModelShareMismatch(f"the {what}: malformed, {error.message}") from error
    expected = {spec.name: spec.shape for spec in graph.weights if spec.public == public}
    if {name: array.shape for name, array in weights.items()} != expected:
        which = "public" if public else "secret"
        raise ModelShareMismatch(f"the {what}: not exactly the graph's {which} weights in their shapes")
    return weights
