"""From a graph to a masked program."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from mpc_infer.engine.masked.builder import Builder, Tensor
from mpc_infer.engine.masked.lower_functions import SPLINES
from mpc_infer.engine.masked.lower_linear import LINEAR
from mpc_infer.engine.masked.lower_norm import NORMS
from mpc_infer.engine.masked.lower_pool import POOLS
from mpc_infer.engine.masked.lower_steps import STEPS
from mpc_infer.engine.masked.lower_trees import TREES
from mpc_infer.engine.masked.program import Program, Role, Slot, make_plan
from mpc_infer.errors import CorruptModel, UnsupportedOperator
from mpc_infer.graph import Graph, infer_shapes
from mpc_infer.graph.ir import Node
from mpc_infer.preprocessing.masked_check import check_program
from mpc_infer.sharing.fixed import FixedPoint

MAX_FRAC_BITS = 16
LEAN_FROM = 2048
"""On one machine a round costs about as much as the memory traffic of this many comparisons."""

PRODUCTS = frozenset({"Linear", "MatMul", "Conv", "Mul"})
"""Operators that a public weight makes linear maps of shares."""
SUMS = frozenset({"Add", "Sub"})

Lower = Callable[["Lowering", Node], Tensor]


class Lowering:
    """A graph on its way to a program.

    Attributes:
        builder: the program as far as it is written.
        graph: what is compiled.
        shapes: of all tensors, with the batch.

    Args:
        value_bits: see `FixedPoint`.
    """

    def __init__(self, graph: Graph, batch: int, builder: Builder, value_bits: Sequence[int] = ()) -> None:
        self.builder = builder
        self.graph = graph
        self.shapes = infer_shapes(graph, batch)
        self.nodes, moved = pools_first(graph)
        # What a moved pool makes has its own shape, under the name of what the Relu made.
        self.shapes.update({name: self.shapes[pooled] for name, pooled in moved.items()})
        self._value_bits = self._named(value_bits)
        self._weights = {spec.name for spec in graph.weights}
        self._public = frozenset(graph.public_weights)
        self._tensors: dict[str, Tensor] = {}
        self._reads = Counter(name for node in graph.nodes for name in node.inputs)
        self._reads.update(spec.name for spec in graph.outputs)
        self._readers = {name: [node for node in self.nodes if name in node.inputs] for name in self._public_factors()}

    def _public_factors(self) -> set[str]:
        """Tensors that are multiplied by public weights."""
        products = filter(self._is_public_product, self.nodes)
        return {name for node in products for name in node.inputs if not self.is_weight(name)}

    def _named(self, value_bits: Sequence[int]) -> dict[str, int]:
        names = [spec.name for spec in self.graph.inputs] + [node.outputs[0] for node in self.graph.nodes]
        if value_bits and len(value_bits) != len(names):
            raise CorruptModel(f"{len(value_bits)} sizes of values for {len(names)} inputs and nodes")
        found = dict(zip(names, value_bits, strict=False))
        for node in self.nodes if found else ():
            # What a moved pool makes is as large as what the Relu, which now follows it, read.
            if node.op == "MaxPool":
                found[node.outputs[0]] = found[node.inputs[0]]
        return found

    def run(self) -> None:
        """Lower inputs and nodes."""
        for spec in self.graph.inputs:
            slot = Slot(Role.INPUT, spec.name, self.shapes[spec.name])
            self._define(spec.name, Tensor(slot.shape, shares={0: self.builder.slot(slot)}))
        for node in self.nodes:
            if node.op not in LOWERINGS:
                raise UnsupportedOperator(
                    f"node {node.name!r} is a {node.op!r}, which the masked engine lacks", remedy="use 'crypten'"
                )
            self._define(node.outputs[0], LOWERINGS[node.op](self, node))

    def is_weight(self, name: str) -> bool:
        """Whether a tensor belongs to the model."""
        return name in self._weights

    def is_public(self, name: str) -> bool:
        """Whether a weight is public."""
        return name in self._public

    def tensor(self, name: str) -> Tensor:
        """A computed tensor."""
        return self._tensors[name]

    def _define(self, name: str, tensor: Tensor) -> None:
        if name in self._value_bits:
            self.builder.know(tensor, self._value_bits[name])
        if self._reads[name] > 1:
            if self._read_as_share(name) and self.builder.is_own(tensor):
                self.builder.held.add(tensor.shares[0])
            else:
                self.builder.settle(tensor)
        self._tensors[name] = tensor

    def _read_as_share(self, name: str) -> bool:
        """Whether all that reads a tensor are products by public weights, and sums: then it need not be opened."""
        readers = self._readers.get(name, [])
        return len(readers) == self._reads[name] and all(
            node.op in SUMS or self._is_public_product(node) for node in readers
        )

    def _is_public_product(self, node: Node) -> bool:
        weight = next(filter(self.is_weight, node.inputs), "")
        return node.op in PRODUCTS and self.is_public(weight)


def compile_graph(graph: Graph, batch: int, parties: int, fixed: FixedPoint, *, lean_from: int = LEAN_FROM) -> Program:
    """Compile a graph for a number of rows and parties.

    Args:
        fixed: of the model.
        lean_from: comparisons of at least this many elements at once take a round more and a seventh of the material.

    Raises:
        UnsupportedOperator: a node has no masked protocol, or f is more than 16.
        WrongShape: no such batch.
        CorruptModel: `value_bits` do not fit the graph.
        InvalidRequest: the plan would ask for more than dealers accept.
    """
    frac_bits = fixed.frac_bits
    if not 8 <= frac_bits <= MAX_FRAC_BITS:
        raise UnsupportedOperator(f"the masked engine has 8 to {MAX_FRAC_BITS} fractional bits, not {frac_bits}")
    lowering = Lowering(graph, batch, Builder(frac_bits, lean_from), fixed.value_bits)
    lowering.run()
    builder = lowering.builder
    outputs = tuple(
        (spec.name, builder.result(lowering.tensor(spec.name)), lowering.shapes[spec.name]) for spec in graph.outputs
    )
    requests = builder.finish([number for _, number, _ in outputs])
    check_program(requests)
    plan = make_plan(graph.digest, batch, parties, frac_bits, requests)
    return Program(plan, tuple(builder.slots), outputs, frozenset(builder.held))


def pools_first(graph: Graph) -> tuple[list[Node], dict[str, str]]:
    """The nodes with every MaxPool moved before the Relu that it alone reads: the same result from fewer comparisons.

    Returns:
        The nodes; and for each tensor that changed its shape, the one whose shape it now has.
    """
    reads = Counter(name for node in graph.nodes for name in node.inputs)
    reads.update(spec.name for spec in graph.outputs)
    nodes, moved = list(graph.nodes), {}
    makers = {node.outputs[0]: index for index, node in enumerate(nodes)}
    for index, pool in enumerate(graph.nodes):
        maker = makers.get(pool.inputs[0], index)
        relu = nodes[maker]
        if pool.op == "MaxPool" and relu.op == "Relu" and reads[relu.outputs[0]] == 1:
            name = relu.outputs[0]
            nodes[maker] = Node(pool.name, pool.op, relu.inputs, (name,), pool.attributes)
            nodes[index] = Node(relu.name, relu.op, (name,), pool.outputs)
            moved[name] = pool.outputs[0]
    return nodes, moved


LOWERINGS: Mapping[str, Lower] = {**LINEAR, **POOLS, **STEPS, **SPLINES, **NORMS, **TREES}
"""Operator: how it is lowered."""
