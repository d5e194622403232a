"""GELU, recognised where a file spells it out: x · (1 + erf(x / √2)) · 0.5, in any order."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mpc_infer.graph.raw import RawModel, RawNode

CLOSE = 1e-3
"""Relative: constants may be of float16."""


def with_gelu(model: RawModel) -> RawModel:
    """The same model with Gelu in place of its spelling."""
    if not any(node.op == "Erf" for node in model.nodes):
        return model
    search = _Search(model)
    nodes = [search.replaced(node) for node in model.nodes]
    return replace(model, nodes=_live(nodes, model.outputs))


def _live(nodes: list[RawNode], outputs: tuple[str, ...]) -> tuple[RawNode, ...]:
    read, live = set(outputs), []
    for node in reversed(nodes):
        if read & set(node.outputs):
            read.update(node.inputs)
            live.append(node)
    return tuple(reversed(live))


@dataclass
class _Factors:
    """What a product multiplies: a number, and tensors."""

    number: float
    tensors: list[str]


class _Search:
    def __init__(self, model: RawModel) -> None:
        self._made: Mapping[str, RawNode] = {name: node for node in model.nodes for name in node.outputs}
        self._reads = Counter(name for node in model.nodes for name in node.inputs)
        self._reads.update(model.outputs)
        self._constants = model.constants

    def replaced(self, node: RawNode) -> RawNode:
        """A Gelu, where a node is the last product of its spelling."""
        if node.op not in ("Mul", "Div"):
            return node
        factors = self._factors(node, depth=4)
        for one, other in ((0, 1), (1, 0)) if len(factors.tensors) == 2 else ():
            argument, gate = factors.tensors[one], factors.tensors[other]
            if abs(factors.number - 0.5) < CLOSE and self._gate_of(gate) == argument:
                return RawNode(node.name, "Gelu", (argument,), node.outputs, {})
        return node

    def _factors(self, node: RawNode, depth: int) -> _Factors:
        found = _Factors(1.0, [])
        for place, name in enumerate(node.inputs):
            number = self._number(name)
            maker = self._made.get(name)
            if number is not None:
                found.number *= 1 / number if node.op == "Div" and place and number else number
            elif depth and maker is not None and maker.op in ("Mul", "Div") and self._reads[name] == 1:
                inner = self._factors(maker, depth - 1)
                found = _Factors(found.number * inner.number, [*found.tensors, *inner.tensors])
            else:
                # A tensor that divides is no factor: twice the same name matches nothing.
                found.tensors += [name, name] if node.op == "Div" and place else [name]
        return found

    def _gate_of(self, name: str) -> str | None:
        """x, where a tensor is 1 + erf(x / √2)."""
        added = self._made.get(name)
        if added is None or added.op != "Add":
            return None
        erfs = [each for each in added.inputs if self._number(each) is None]
        ones = [self._number(each) for each in added.inputs]
        erf = self._made.get(erfs[0]) if len(erfs) == 1 and 1.0 in ones else None
        inner = self._made.get(erf.inputs[0]) if erf is not None and erf.op == "Erf" else None
        if inner is None or inner.op not in ("Mul", "Div"):
            return None
        factors = self._factors(inner, depth=0)
        close = abs(factors.number * math.sqrt(2.0) - 1.0) < CLOSE
        return factors.tensors[0] if close and len(factors.tensors) == 1 else None

    def _number(self, name: str) -> float | None:
        maker = self._made.get(name)
        values = self._constants.get(name)
        if maker is not None and maker.op == "Constant":
            values = next((value for value in maker.attributes.values() if hasattr(value, "size")), None)  # type: ignore[assignment]
        return float(values.reshape(-1)[0]) if values is not None and values.size == 1 else None
