"""ONNX's own test cases (`onnx.backend.test`), made into models that can be published.

A case is one node, its inputs and its outputs. Here every tensor needs a batch axis, so a case is tried in two ways:

- *tensor*: every computed input is one row, [1, ...], and loses that axis before the node: what the node computes is
  exactly the case, whatever its axes mean.
- *rows*: the first axis of the case is the batch.

Inputs of integers (shapes, axes, places) become constants; so do those that must be weights here (`WEIGHTS`). Truth
values are made of numbers by a comparison (x > 1/2), and come out as 0 and 1.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mpc_infer.graph.folding import FOLDS
from mpc_infer.graph.onnx_import import MIN_OPSET
from mpc_infer.graph.operators import OPERATORS

CLAIMED = sorted({*OPERATORS, *FOLDS})
"""Operators whose cases are listed."""
FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16})
SIZES = ("Shape", "Size")
"""What they make is known when the file is read; the model hands on what it measures, too."""
LATER = 13
WEIGHTS = {
    "InstanceNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "Gemm": (1, 2),
    "Conv": (1, 2),
    "BatchNormalization": (1, 2, 3, 4),
    "LayerNormalization": (1, 2),
    "RMSNormalization": (1,),
    "ConvTranspose": (1, 2),
    "Resize": (1, 2, 3),
    "Attention": (3,),
    "PRelu": (1,),
    "Clip": (1, 2),
    "Pow": (1,),
    "Dropout": (1, 2),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
}
"""Inputs that are weights, or constants: by place."""


@dataclass(frozen=True)
class Case:
    """One of ONNX's cases.

    Attributes:
        operator: whose case it is; of an expanded one, the operator that is spelled out.
        inputs, outputs: arrays by name, in the case's own types.
    """

    name: str
    operator: str
    model: Any = field(repr=False)
    inputs: dict[str, Any] = field(repr=False)
    outputs: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Adapted:
    """A model made of a case, what to feed, and what must come out."""

    how: str
    data: bytes = field(repr=False)
    inputs: dict[str, Any] = field(repr=False)
    outputs: dict[str, Any] = field(repr=False)


class DoesNotApply(Exception):
    """A case that cannot be one here, and why."""


def cases(operators: Iterable[str]) -> list[Case]:
    """The cases of these operators, in the order of their names."""
    wanted = set(operators)
    found = [_case(each) for each in _collected(tuple(_modules(wanted)))]
    return sorted((case for case in found if case.operator in wanted), key=lambda case: (case.operator, case.name))


def _modules(wanted: set[str]) -> Iterator[str]:
    """Modules that may hold cases of some operators: their names are the operators', with and without underlines."""
    names = {name.rsplit(".", 1)[-1].lower() for name in wanted}
    root = "onnx.backend.test.case.node"
    for package in (root, f"{root}.ai_onnx_ml"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            plain = module.name.replace("_", "")
            if not module.ispkg and (plain in names or any(plain in name or name in plain for name in names)):
                yield f"{package}.{module.name}"


@cache
def _collected(modules: tuple[str, ...]) -> list[Any]:
    # A module registers its cases when it is imported.
    for name in modules:
        importlib.import_module(name)
    return list(importlib.import_module("onnx.backend.test.case.node")._NodeTestCases)


def _case(found: Any) -> Case:
    graph = found.model.graph
    inputs, outputs = found.data_sets[0]
    names = [value.name for value in graph.input], [value.name for value in graph.output]
    return Case(
        found.name,
        _operator(found),
        found.model,
        dict(zip(names[0], map(_array, inputs), strict=True)),
        dict(zip(names[1], map(_array, outputs), strict=True)),
    )


def _array(value: Any) -> Any:
    # What numpy has no type for comes as a tensor; sequences stay what they are.
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def _operator(found: Any) -> str:
    node = found.model.graph.node[0]
    if "_expanded" in found.name:
        # Tensors inside are named Operator_test_..._expanded_function_...
        names = [name for each in found.model.graph.node for name in (*each.input, *each.output)]
        inner = next((name for name in names if "_expanded_function_" in name), "")
        return inner.split("_", 1)[0] or "expanded"
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else str(node.op_type)


def adapted(case: Case) -> Iterator[Adapted]:
    """The case as a model: the whole tensor as one row, then by rows; all outputs, then the first one alone.

    Raises:
        DoesNotApply: no such model can be made; the reason.
    """
    _check_types(case)
    names = list(case.outputs)
    for outputs in [names, names[:1]] if len(names) > 1 else [names]:
        what = "" if outputs == names else ", first output"
        yield _Adapter(case, outputs, by_rows=False).model(f"tensor{what}")
        if _has_rows(case, outputs):
            yield _Adapter(case, outputs, by_rows=True).model(f"rows{what}")


def _check_types(case: Case) -> None:
    graph = case.model.graph
    for value, arrays in ((graph.input, case.inputs), (graph.output, case.outputs)):
        for each in value:
            if each.type.WhichOneof("value") != "tensor_type":
                raise DoesNotApply(f"`{each.name}` is a {each.type.WhichOneof('value').removesuffix('_type')}")
            array = np.asarray(arrays[each.name])
            kind = TensorProto.DataType.Name(each.type.tensor_type.elem_type).lower()
            if kind in ("string", "complex64", "complex128"):
                raise DoesNotApply(f"`{each.name}` is of type {kind}")
            if array.size == 0 and array.ndim > 1:
                raise DoesNotApply(f"`{each.name}` has no elements")
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                raise DoesNotApply(f"`{each.name}` holds infinity or NaN, which fixed point does not have")
    for name in _computed(case):
        kind = case.model.graph.input[list(case.inputs).index(name)].type.tensor_type.elem_type
        if kind not in FLOATS and kind != TensorProto.BOOL:
            raise DoesNotApply(f"`{name}` is of type {TensorProto.DataType.Name(kind).lower()}")


def _constants(case: Case) -> list[str]:
    """Inputs that become initializers."""
    node = case.model.graph.node[0]
    expanded = "_expanded" in case.name
    names = list(case.inputs)
    places = WEIGHTS.get(case.operator, ())
    chosen = {names[place] for place in places if place < len(names)} if expanded else set()
    if not expanded:
        chosen = {node.input[place] for place in places if place < len(node.input)}
    types = {value.name: value.type.tensor_type.elem_type for value in case.model.graph.input}
    if case.operator not in OPERATORS:
        return names
    whole = any(types[name] in FLOATS | {TensorProto.BOOL} for name in names if name not in chosen)
    integers = {name for name in names if types[name] in (TensorProto.INT64, TensorProto.INT32)}
    return [name for name in names if name in chosen or (name in integers and whole)]


def _computed(case: Case) -> list[str]:
    constants = _constants(case)
    return [name for name in case.inputs if name not in constants]


def _has_rows(case: Case, outputs: list[str]) -> bool:
    arrays = [np.asarray(case.inputs[name]) for name in _computed(case)]
    results = [np.asarray(case.outputs[name]) for name in outputs]
    sizes = {array.shape[0] if array.ndim else -1 for array in (*arrays, *results)}
    return bool(arrays) and len(sizes) == 1 and -1 not in sizes


def _opset(case: Case) -> int:
    """The case's operator set; a later one that can be read, where the operator is the same in it."""
    given = next((each.version for each in case.model.opset_import if each.domain in ("", "ai.onnx")), 21)
    if given >= MIN_OPSET or "." in case.operator:
        return int(given)
    versions = {onnx.defs.get_schema(case.operator, each).since_version for each in (given, LATER)}
    return LATER if len(versions) == 1 else int(given)


class _Adapter:
    """A case with something before and after it."""

    def __init__(self, case: Case, outputs: list[str], *, by_rows: bool) -> None:
        self._case, self._outputs, self._by_rows = case, outputs, by_rows
        self._opset = _opset(case)
        self._before: list[Any] = []
        self._after: list[Any] = []
        self._constants: dict[str, Any] = {"case:zero": np.zeros(1, np.float32), "case:half": np.asarray(0.5, "f4")}

    def model(self, how: str) -> Adapted:
        """The model, and its data."""
        case = self._case
        types = {value.name: value.type.tensor_type.elem_type for value in case.model.graph.input}
        constants = _constants(case)
        self._constants |= {name: np.asarray(case.inputs[name]) for name in constants}
        computed = [name for name in case.inputs if name not in constants]
        feeds = {f"case:{name}": self._fed(np.asarray(case.inputs[name])) for name in computed}
        for name in computed:
            self._enter(name, types[name])
        outputs = {f"case:{name}": self._fed(np.asarray(case.outputs[name])) for name in self._outputs}
        alone = not computed or case.operator in SIZES
        for name in self._outputs:
            self._leave(name, alone=alone)
        for name in computed if alone else ():
            outputs[f"case:{name}:same"] = feeds[f"case:{name}"]
            self._chain(self._after, f"case:{name}", f"case:{name}:same", [("Add", ["case:zero"], {})])
        if alone:
            feeds["case:nothing"] = np.zeros((1, 1))
        nodes = [*self._before, *case.model.graph.node, *self._after]
        return Adapted(how, self._serialized(nodes, feeds, outputs), feeds, outputs)

    def _fed(self, array: Any) -> Any:
        values = np.asarray(array, np.float64)
        return values if self._by_rows else values[None]

    def _enter(self, name: str, kind: int) -> None:
        """case:name, float, to name, as the case has it."""
        steps = [] if self._by_rows else [("Squeeze", [0], {})]
        if kind == TensorProto.BOOL:
            steps.append(("Greater", ["case:half"], {}))
        elif kind != TensorProto.FLOAT:
            steps.append(("Cast", [], {"to": kind}))
        self._chain(self._before, f"case:{name}", name, steps or [("Identity", [], {})])

    def _leave(self, name: str, *, alone: bool) -> None:
        steps: list[Any] = [("Cast", [], {"to": TensorProto.FLOAT})]
        if alone:
            self._chain(self._before, "case:nothing", f"case:{name}:0", [("Squeeze", [0, 1], {})])
            steps.append(("Add", [f"case:{name}:0"], {}))
        steps += [] if self._by_rows else [("Unsqueeze", [0], {})]
        self._chain(self._after, name, f"case:{name}", [*steps, ("Add", ["case:zero"], {})], inside="out")

    def _chain(self, nodes: list[Any], first: str, last: str, steps: list[Any], inside: str = "in") -> None:
        for number, (op, more, attributes) in enumerate(steps):
            made = last if number == len(steps) - 1 else f"{first}:{inside}{number}"
            extra = list(more)
            if op in ("Squeeze", "Unsqueeze"):
                extra = self._axes(tuple(more), attributes := dict(attributes))
            nodes.append(helper.make_node(op, [first, *extra], [made], name=f"{op} of {made}", **attributes))
            first = made

    def _axes(self, axes: tuple[int, ...], attributes: dict[str, Any]) -> list[str]:
        if self._opset < 13:
            attributes["axes"] = list(axes)
            return []
        name = f"case:axes{axes}"
        self._constants[name] = np.asarray(axes, np.int64)
        return [name]

    def _serialized(self, nodes: list[Any], feeds: dict[str, Any], outputs: dict[str, Any]) -> bytes:
        used = {name for node in nodes for name in node.input}
        graph = helper.make_graph(
            nodes,
            self._case.name,
            [self._end(name, array) for name, array in feeds.items()],
            [self._end(name, array) for name, array in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in self._constants.items() if name in used],
        )
        imports = [each for each in self._case.model.opset_import if each.domain not in ("", "ai.onnx")]
        imports.append(helper.make_opsetid("", self._opset))
        model = helper.make_model(graph, opset_imports=imports, ir_version=10)
        return bytes(onnx.shape_inference.infer_shapes(model).SerializeToString())

    def _end(self, name: str, array: Any) -> Any:
        shape = (["N", *array.shape[1:]]) if self._by_rows else array.shape
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
