"""`mpc-infer model check`: every node judged, numbers shown, a status that scripts can go by."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from mpc_infer.cli.declared import read_inputs, read_ranges
from mpc_infer.cli.model_check import check
from mpc_infer.errors import InvalidInput
from tests.unit.graph.onnx_models import checked, dense_model, make_model, node, values

ROWS = np.random.default_rng(3).normal(size=(40, 8))


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    (tmp_path / "dense.onnx").write_bytes(checked(dense_model()))
    np.save(tmp_path / "rows.npy", ROWS)
    return tmp_path / "dense.onnx"


def ask(*arguments: object) -> Result:
    result = CliRunner().invoke(check, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def answer(*arguments: object, status: int = 0) -> Any:
    result = ask(*arguments, "--json")
    assert result.exit_code == status, result.output
    return json.loads(result.output)


def test_a_model_that_can_be_deployed(dense: Path) -> None:
    rows = dense.with_name("rows.npy")
    found = answer(dense, "--calibrate", rows, "--margin", 10, "--data", rows, "--parties", 2)
    assert (found["deployable"], found["problems"], found["numerics"]["frac_bits"]) == (True, [], 16)
    assert found["numerics"]["calibration"] == {"rows": 40, "margin_percent": 10}
    assert [each["op"] for each in found["nodes"]] == ["Linear", "Relu", "Linear"]
    for each in found["nodes"]:
        assert each["supported"]
        assert 0 < each["error_bound"] < 0.01 < each["magnitude"] < 1000
        integer, fractional = map(int, each["held_as"].removeprefix("Q").split("."))
        assert fractional == 16
        assert 2.0 ** (integer - 2) < each["magnitude"] < 2.0**integer
        assert each["material_bytes"] > 0
    data = found["data"]
    assert (data["reference"], data["rows"], data["rows_outside"]) == ("onnxruntime", 40, 0)
    off = data["outputs"]["y"]
    assert 0 < off["mean_deviation"] < off["largest_deviation"] < found["numerics"]["error_bounds"]["y"]
    assert off["rows_ordered_otherwise"] == 0
    cost, lan, wan = found["cost"], found["latency_ms"]["lan"], found["latency_ms"]["wan"]
    assert lan["rounds"] == pytest.approx((cost["rounds"] + 2) * (0.25 + 0.15), abs=1e-3)
    assert wan["rounds"] == pytest.approx((cost["rounds"] + 2) * (20 + 0.15), abs=1e-3)
    assert wan["bytes"] == pytest.approx(cost["bytes_sent_by_each_party"] * 8 / 100e6 * 1000, abs=1e-3)


def test_the_table_for_people(dense: Path) -> None:
    shown = ask(dense, "--input-limit", 4, "--data", dense.with_name("rows.npy"), "--wan-rtt", 100).output
    for text in (
        "16 fractional bits",
        "input x: -4 to 4, all features",
        "LAN (0.5 ms",
        "WAN (100 ms",
        "can be deployed",
    ):
        assert text in shown
    assert "error at most" in shown
    assert "against onnxruntime" in shown


def test_rows_outside_are_counted_and_left_out(dense: Path) -> None:
    found = answer(dense, "--input-limit", 1, "--data", dense.with_name("rows.npy"))["data"]
    inside = int((np.abs(ROWS) < 1).all(axis=1).sum())
    assert (found["rows"], found["rows_outside"]) == (40, 40 - inside)


def test_all_nodes_that_cannot_be_computed_are_listed(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", ["x", "w"], "h"),
        node("Sin", ["h"], "s"),
        node("Relu", ["s"], "r"),
        node("Softmax", ["h"], "p", axis=0),
        node("Add", ["r", "p"], "y"),
    ]
    (tmp_path / "bad.onnx").write_bytes(make_model(nodes, {"w": values((8, 4), 1)}).SerializeToString())
    found = answer(tmp_path / "bad.onnx", status=3)
    assert not found["deployable"]
    assert {each["name"]: each["supported"] for each in found["nodes"]} == {
        "gemm_h": True,
        "sin_s": False,
        "relu_r": None,
        "softmax_p": False,
        "add_y": None,
    }
    assert [each["node"] for each in found["problems"]] == ["sin_s", "softmax_p"]
    assert all(each["message"] for each in found["problems"])
    shown = ask(tmp_path / "bad.onnx")
    assert shown.exit_code == 3
    assert "sin_s" in shown.output
    assert "what to do" in shown.output


def test_a_value_that_may_leave_the_range_and_what_came_before_it(tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "w"], "h"), node("Relu", ["h"], "r"), node("Gemm", ["r", "v"], "y")]
    weights = {"w": np.full((8, 4), 3000.0, np.float32), "v": np.full((4, 2), 3000.0, np.float32)}
    (tmp_path / "tall.onnx").write_bytes(checked(make_model(nodes, weights)))
    found = answer(tmp_path / "tall.onnx", "--input-limit", 1000, status=3)
    (problem,) = found["problems"]
    assert "'relu_r' (Relu)" in problem["message"]
    assert "narrower ranges" in problem["remedy"]
    assert [each["magnitude"] is not None for each in found["nodes"]] == [True, False, False]
    fewer = answer(tmp_path / "tall.onnx", "--input-limit", 1)
    assert fewer["numerics"]["frac_bits"] == 16
    fewer = answer(tmp_path / "tall.onnx", "--input-limit", 50)
    assert fewer["numerics"]["frac_bits"] < 16


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"none")
    found = answer(tmp_path / "no.onnx", status=3)
    assert (found["nodes"], found["problems"][0]["code"]) == ([], "CORRUPT_MODEL")


def test_ranges_from_files(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"x": {"low": -1, "high": [2, 3]}}')
    (found,) = read_ranges(tmp_path / "r.json", ["x"]).values()
    assert (found.low.tolist(), found.high.tolist()) == (-1, [2, 3])
    np.savez(tmp_path / "r.npz", **{"x.low": [0.0, 1.0], "x.high": [2.0, 3.0]})
    (found,) = read_ranges(tmp_path / "r.npz", ["x"]).values()
    assert (found.low.tolist(), found.high.tolist()) == ([0, 1], [2, 3])
    np.savez(tmp_path / "rows.npz", a=np.zeros((2, 3)), b=np.ones((2, 1)))
    assert sorted(read_inputs(tmp_path / "rows.npz", ["a", "b"])) == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"x": 1}', '{"x": {"low": 1}}', '{"y": {"low": 0, "high": 1}}', '{"x": {"low": "a", "high": 1}}',
     '{"x": {"low": [[1], [1, 2]], "high": 1}}', '{"x": {"low": NaN, "high": 1}}'],
)  # fmt: skip
def test_files_that_hold_no_ranges(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InvalidInput):
        read_ranges(tmp_path / "r.json", ["x"])


def test_archives_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "junk.npz").write_bytes(b"junk")
    np.savez(tmp_path / "half.npz", **{"x.low": [0.0]})
    np.savez(tmp_path / "object.npz", allow_pickle=True, **{"x.low": np.array([object()]), "x.high": [1.0]})
    for name in ("junk", "half", "object"):
        with pytest.raises(InvalidInput):
            read_ranges(tmp_path / f"{name}.npz", ["x"])


def test_two_ways_to_say_it_are_one_too_many(dense: Path) -> None:
    rows = dense.with_name("rows.npy")
    with pytest.raises(InvalidInput, match="exclude"):
        ask(dense, "--input-limit", 4, "--calibrate", rows)


LAYERS = 40


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """What each layer makes is about 1; what it might make is several times more with every one."""
    nodes, weights, last = [], {}, "x"
    for layer in range(LAYERS):
        weights[f"w{layer}"] = values((8, 8), layer, scale=0.5)
        nodes += [node("Gemm", [last, f"w{layer}"], f"h{layer}"), node("Relu", [f"h{layer}"], last := f"r{layer}")]
    nodes.append(node("Gemm", [last, "last"], "y"))
    weights["last"] = values((8, 2), LAYERS)
    (tmp_path / "deep.onnx").write_bytes(checked(make_model(nodes, weights)))
    np.save(tmp_path / "rows.npy", ROWS)
    return tmp_path / "deep.onnx"


def test_ceilings_make_a_deep_network_deployable_and_are_listed(deep: Path) -> None:
    rows = ("--calibrate", deep.with_name("rows.npy"))
    (problem,) = answer(deep, *rows, status=3)["problems"]
    assert "--ceilings" in problem["remedy"]
    found = answer(deep, *rows, "--ceilings", "--data", deep.with_name("rows.npy"))
    assert (found["deployable"], found["numerics"]["frac_bits"]) == (True, 16)
    ended = {each["name"] for each in found["nodes"] if each["op"] == "Clip"}
    assert ended
    assert ended == set(found["ceilings"])
    assert all(np.log2(height).is_integer() for height in found["ceilings"].values())
    assert found["data"]["outputs"]["y"]["largest_deviation"] < 1e-2
    shown = ask(deep, *rows, "--ceilings").output
    assert "ceiling" in shown
    assert f"{len(ended)} activations end at a ceiling" in shown


def test_ceilings_need_rows(dense: Path) -> None:
    with pytest.raises(InvalidInput, match="calibration rows") as raised:
        ask(dense, "--ceilings", "--input-limit", 4)
    assert "--calibrate" in raised.value.remedy
    assert answer(dense, "--ceilings", "--calibrate", dense.with_name("rows.npy"))["ceilings"] == {}


def test_a_model_that_no_ceilings_help_is_refused(dense: Path) -> None:
    np.save(dense.with_name("large.npy"), ROWS * 20_000)
    found = answer(dense, "--ceilings", "--calibrate", dense.with_name("large.npy"), status=3)
    assert not found["deployable"]
    assert found["nodes"]


def test_public_weights_are_told_and_cost_less(dense: Path) -> None:
    secret = answer(dense)
    assert (secret["public_weights"], len(secret["secret_weights"])) == ([], 4)
    first, *others = secret["secret_weights"]
    some = answer(dense, "--public-weight", first)
    assert (some["public_weights"], some["secret_weights"]) == ([first], others)
    everything = answer(dense, "--public-weights")
    assert everything["secret_weights"] == []
    sent = [each["cost"]["bytes_sent_by_each_party"] for each in (everything, some, secret)]
    assert sent == sorted(set(sent))
    assert f"public weights: {first}\n" in ask(dense, "--public-weight", first).output
    with pytest.raises(InvalidInput, match="no weight"):
        ask(dense, "--public-weight", "no-such-weight")
