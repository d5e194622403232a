"""Which nodes of an ONNX file can be computed, all of them judged: importing stops at the first that cannot."""

from dataclasses import dataclass
from pathlib import Path

from mpc_infer.errors import ModelRefused
from mpc_infer.graph.folding import FOLDS
from mpc_infer.graph.lowering import Lowering, lower_node
from mpc_infer.graph.onnx_import import REMEDIES, raw_onnx
from mpc_infer.graph.operators import OPERATORS
from mpc_infer.graph.raw import RawNode

LISTED = "docs/models.md lists the operators that can be used"


@dataclass(frozen=True)
class Judged:
    """One node of a file.

    Attributes:
        name, op: the node's.
        supported: whether it can be computed; None: it reads what a refused node makes, so nobody can say.
        error: why it cannot.
    """

    name: str
    op: str
    supported: bool | None
    error: ModelRefused | None = None


def survey_onnx(source: bytes | Path) -> tuple[Judged, ...]:
    """Judge every node that an output depends on.

    Raises:
        CorruptModel, ModelRefused: the file as a whole cannot be read.
    """
    model = raw_onnx(source, known_only=False)
    lowering, lost, found = Lowering(model), set[str](), []
    for node in model.nodes:
        judged = _judge(lowering, node, lost)
        if not judged.supported:
            lost.update(node.outputs)
        found.append(judged)
    return tuple(found)


def _judge(lowering: Lowering, node: RawNode, lost: set[str]) -> Judged:
    if node.op not in OPERATORS and node.op not in FOLDS:
        what = f"node {node.name!r} is a {node.op}, which has no private protocol here"
        return Judged(node.name, node.op, False, ModelRefused(what, remedy=REMEDIES.get(node.op, LISTED)))
    if lost.intersection(node.inputs):
        return Judged(node.name, node.op, None)
    try:
        lower_node(lowering, node)
    except ModelRefused as error:
        return Judged(node.name, node.op, False, error)
    return Judged(node.name, node.op, True)
