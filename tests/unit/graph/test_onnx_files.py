"""Files that would take what they should not: other files, memory, time, or the process that reads them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mpc_infer.errors import CorruptModel, ModelRefused, UnsupportedOperator
from mpc_infer.graph import import_onnx, onnx_checker
from tests.unit.graph.onnx_models import checked, dense_model, make_model, node
from tests.unit.graph.test_onnx_refused import W, refused


def test_too_large_by_bytes_and_by_file(tmp_path: Path) -> None:
    data = checked(dense_model())
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(CorruptModel, match="are allowed"):
            import_onnx(source, max_bytes=len(data) - 1)
    assert import_onnx(path, max_bytes=len(data)).weights.keys() == import_onnx(data).weights.keys()


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (tmp_path / "pipe.onnx", tmp_path, Path("/dev/zero")):
        with pytest.raises(CorruptModel, match=f"'{path.name}' is not a regular file"):
            import_onnx(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CorruptModel, match="cannot be read"):
        import_onnx(tmp_path / "nothing.onnx")


def test_external_data(tmp_path: Path) -> None:
    model = dense_model()
    path = tmp_path / "model.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(CorruptModel, match="another file"):
        import_onnx(path)


@pytest.mark.parametrize("location", ["/etc/passwd", "../../etc/passwd", "weights.bin", "", "C:\\\\x"])
def test_external_data_is_never_looked_for(location: str) -> None:
    model = dense_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    refused(model, CorruptModel, "another file")


def test_external_and_sparse_data_inside_of_nodes() -> None:
    """Of nodes that nothing reads, too: ONNX's checker would look for the file."""
    outside = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="/etc/passwd")
    body = helper.make_graph([node("Constant", [], "c", value=outside)], "body", [], [])
    values_of = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    sparse = helper.make_sparse_tensor(values_of, helper.make_tensor("i", TensorProto.INT64, [1], [0]), [4])
    dead: list[tuple[dict[str, Any], str]] = [
        ({"value": outside}, "another file"),
        ({"then_branch": body, "else_branch": body}, "another file"),
        ({"sparse_value": sparse}, "sparse"),
    ]
    for attributes, says in dead:
        model = dense_model()
        model.graph.node.append(node("If" if len(attributes) > 1 else "Constant", [], "dead", **attributes))
        refused(model, CorruptModel, says)


def test_a_file_that_onnx_itself_does_not_survive() -> None:
    """Fewer parts than outputs: shape inference reads beyond the end of an array."""
    split = node("Split", ["x"], "a", axis=1, num_outputs=3)
    split.output.extend(["b", "c", "d"])
    broken = make_model([node("Relu", ["x"], "y")], {})
    broken.graph.node.insert(0, split)
    broken.graph.node[1].input[0] = "a"
    with pytest.raises(ModelRefused):
        import_onnx(bytes(broken.SerializeToString()))
    # The checker is there again for the next file.
    assert import_onnx(checked(dense_model())).graph.nodes


def test_a_check_that_does_not_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    silent = tmp_path / "silent.py"
    silent.write_text("import sys; sys.stdin.buffer.read()", "utf-8")
    onnx_checker._CHECKER.end()
    monkeypatch.setattr(onnx_checker, "_SCRIPT", silent)
    monkeypatch.setattr(onnx_checker, "TIMEOUT_S", 0.1)
    refused(dense_model(), CorruptModel, "needs more than 0 s")
    monkeypatch.undo()
    assert import_onnx(checked(dense_model())).graph.nodes


def test_a_check_that_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(onnx_checker, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_onnx(open_end())
    monkeypatch.undo()
    # The answer to the first file is not taken for one to the second.
    assert import_onnx(checked(dense_model())).graph.nodes


def open_end() -> bytes:
    """A file with a tensor that nothing defines."""
    return bytes(make_model([node("Add", ["x", "ghost"], "y")], {}).SerializeToString())


LARGE = {
    "expand": ([node("Expand", ["x", "s"], "y")], [1, 2**20, 2**18, 8], [1, 1, 8]),
    "pad": ([node("Pad", ["x", "s"], "y")], [0, 2**16, 2**16, 0, 0, 0], [1, 1]),
    "sum": ([node("ReduceSum", ["x", "s"], "y")], [1], [2**27]),
    "cumsum": ([node("CumSum", ["x", "s"], "y")], 1, [2**20]),
    "gathers": (
        [node("Gather", [f"x{i}" if i else "x", "s"], f"x{i + 1}" if i < 199 else "y", axis=1) for i in range(200)],
        np.random.default_rng(0).permutation(200).tolist(),
        [200],
    ),
    "resize": ([node("Resize", ["x", "", "", "s"], "y")], [1, 1, 1, 2**25], [1, 1, 1]),
    "attention": ([node("Attention", ["x", "x", "x"], "y", q_num_heads=1, kv_num_heads=1)], 0, [2**14, 1]),
    "tile": ([node("Tile", ["x", "s"], "y")], [1, 256, 256, 256, 256], [1, 1, 1, 1]),
}


@pytest.mark.parametrize("name", sorted(LARGE))
def test_what_a_small_file_would_make_large(name: str) -> None:
    nodes, sizes, shape = LARGE[name]
    model = make_model(nodes, {"s": np.asarray(sizes, np.int64)}, inputs={"x": ["N", *shape]}, opset=23)
    with pytest.raises(ModelRefused, match=r"too large|1 to 65536|has more than|make more than|inconsistent"):
        import_onnx(bytes(model.SerializeToString()))


def test_thousands_of_factors_take_seconds_at_most() -> None:
    nodes = [node("Mul", [f"x{i}" if i else "x", "v"], f"x{i + 1}" if i < 999 else "y") for i in range(1000)]
    imported = import_onnx(bytes(make_model(nodes, {"v": W["v"]}).SerializeToString()))
    assert len(imported.graph.nodes) == 1000


def test_functions_that_call_themselves() -> None:
    model = dense_model()
    for name, other in (("Ping", "Pong"), ("Pong", "Ping")):
        body = [helper.make_node(other, ["a"], ["b"], domain="own")]
        imports = [helper.make_opsetid("own", 1)]
        model.functions.append(helper.make_function("own", name, ["a"], ["b"], body, imports))
    model.graph.node.append(helper.make_node("Ping", ["y"], ["z"], domain="own"))
    refused(model, UnsupportedOperator, "functions of its own")


def test_graphs_deep_inside_of_each_other() -> None:
    for depth in (20, 2000):
        data = b""
        for _ in range(depth):
            # A graph's node, whose attribute is a graph.
            data = _field(1, _field(5, _field(6, data) + b"\xa0\x01\x05"))
        with pytest.raises(ModelRefused):
            import_onnx(checked(dense_model()) + _field(7, data))


def _field(number: int, data: bytes) -> bytes:
    """Bytes as a field of a protocol buffer."""
    length, size = b"", len(data)
    while size >= 128:
        length, size = length + bytes([size % 128 | 128]), size // 128
    return bytes([number << 3 | 2]) + length + bytes([size]) + data
