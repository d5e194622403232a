"""Models with something changed: each is read, or refused with an error of ours; nothing else ever comes out.

Changes are of the model's parts, so that most get past the parser, and of bytes. All drawn from a fixed beginning.
"""

import resource
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from mpc_infer.errors import ModelRefused
from mpc_infer.graph import Graph, import_onnx
from mpc_infer.graph.folding import FOLDS
from mpc_infer.graph.operators import OPERATORS
from tests.unit.graph.onnx_models import checked, dense_model
from tests.unit.graph.test_onnx_operators import CASES, case_model

INTEGERS = [-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 5, 7, 2**16, 2**31, 2**40, 2**63 - 1]
NUMBERS = [0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf")]
NAMES = [name for name in sorted({*OPERATORS, *FOLDS, "Loop", "If", "Unknown"}) if "." not in name]
ATTRIBUTES = [
    "allowzero", "alpha", "auto_pad", "axes", "axis", "blocksize", "ceil_mode", "dilations", "epsilon", "group",
    "keepdims", "kernel_shape", "mode", "noop_with_empty_axes", "num_groups", "num_outputs", "pads", "perm", "split",
    "strides", "to", "transA", "value", "value_int",
]  # fmt: skip
MEGABYTES, SECONDS = 1500, 20
"""More than this for a file of a few kilobytes is a defect."""
Draw = Callable[[Any], Any]


def change_node(draw: Draw, graph: Any) -> None:
    """Another operator, other inputs, a node twice, or gone."""
    place = draw(st.integers(0, len(graph.node) - 1))
    node, names = graph.node[place], [name for each in graph.node for name in (*each.input, *each.output)]
    kind = draw(st.sampled_from(["operator", "input", "more", "fewer", "outputs", "twice", "gone"]))
    if kind == "operator":
        node.op_type = draw(st.sampled_from(NAMES))
    elif kind == "input" and node.input:
        node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from(names))
    elif kind == "more":
        node.input.append(draw(st.sampled_from(["", *names])))
    elif kind == "fewer" and node.input:
        del node.input[-1]
    elif kind == "outputs":
        node.output.append("more")
    elif kind == "twice":
        graph.node.append(node)
    elif len(graph.node) > 1:
        del graph.node[place]


def change_attribute(draw: Draw, graph: Any) -> None:
    """Another value, one gone, or one more."""
    node = draw(st.sampled_from(list(graph.node)))
    if node.attribute and draw(st.booleans()):
        attribute = draw(st.sampled_from(list(node.attribute)))
        if attribute.ints:
            attribute.ints[draw(st.integers(0, len(attribute.ints) - 1))] = draw(st.sampled_from(INTEGERS))
        attribute.i, attribute.f = draw(st.sampled_from(INTEGERS)), draw(st.sampled_from(NUMBERS))
    elif node.attribute and draw(st.booleans()):
        del node.attribute[0]
    else:
        integers = st.sampled_from(INTEGERS)
        value = draw(st.one_of(integers, st.lists(integers, min_size=1, max_size=4), st.sampled_from([1.5, "x"])))
        node.attribute.append(helper.make_attribute(draw(st.sampled_from(ATTRIBUTES)), value))


def change_tensor(draw: Draw, graph: Any) -> None:
    """Another size, or another element."""
    if not graph.initializer:
        return
    tensor = draw(st.sampled_from(list(graph.initializer)))
    if tensor.dims and draw(st.booleans()):
        tensor.dims[draw(st.integers(0, len(tensor.dims) - 1))] = draw(st.sampled_from(INTEGERS))
        return
    with suppress(ValueError):
        array = numpy_helper.to_array(tensor).copy()
        if array.size and array.dtype.kind in "fi":
            choice = NUMBERS if array.dtype.kind == "f" else INTEGERS
            array.reshape(-1)[draw(st.integers(0, array.size - 1))] = draw(st.sampled_from(choice))
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def change_ends(draw: Draw, graph: Any) -> None:
    """Another size or type of an input or output."""
    end = draw(st.sampled_from([*graph.input, *graph.output]))
    sizes = end.type.tensor_type.shape.dim
    if sizes and draw(st.booleans()):
        draw(st.sampled_from(list(sizes))).dim_value = draw(st.sampled_from(INTEGERS))
    else:
        end.type.tensor_type.elem_type = draw(st.sampled_from([0, 1, 7, 9, 10, 11, 16, 99]))


def changed(draw: Draw) -> bytes:
    """A model with one to three changes, and sometimes changed bytes."""
    model = onnx.ModelProto.FromString(_sound(draw(st.sampled_from(["", *sorted(CASES)]))))
    for _ in range(draw(st.integers(1, 3))):
        if model.graph.node:
            draw(st.sampled_from([change_node, change_attribute, change_tensor, change_ends]))(draw, model.graph)
    if draw(st.integers(0, 9)) == 0:
        model.opset_import[0].version = draw(st.integers(1, 99))
    data = bytearray(model.SerializeToString())
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@cache
def _sound(name: str) -> bytes:
    return case_model(name) if name else checked(dense_model())


def read(data: bytes) -> None:
    """Read a file, within limits, to a graph that parties would accept; or be refused."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    with suppress(ModelRefused), np.errstate(all="raise", under="ignore"):
        graph = import_onnx(data).graph
        assert Graph.from_bytes(graph.to_bytes()) == graph
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024
    assert time.thread_time() - start < SECONDS


UNHURRIED = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=100, **UNHURRIED)
@given(st.data())
def test_a_few_changed_models(data: st.DataObject) -> None:
    read(changed(data.draw))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=10_000, **UNHURRIED)
@given(st.data())
def test_many_changed_models(data: st.DataObject) -> None:
    read(changed(data.draw))
