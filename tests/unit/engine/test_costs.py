"""Costs by node add up to the plan's."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bench.models import dense
from mpc_infer.cli.model_cost import cost
from mpc_infer.engine.costs import model_cost
from mpc_infer.engine.model_check import Wanted, check_model
from mpc_infer.errors import CorruptModel, InvalidInput
from mpc_infer.graph import Graph, Node, TensorSpec, import_onnx
from mpc_infer.graph.functions import constant
from mpc_infer.graph.numerics import choose
from tests.unit.graph.exported import exported
from tests.unit.graph.onnx_models import checked, make_model, node


def branches() -> Graph:
    """Two nodes side by side, an input read twice, a pool that the engine moves."""
    window = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
    nodes = (
        Node("relu", "Relu", ("x",), ("r",)),
        Node("pool", "MaxPool", ("r",), ("p",), window),
        Node("leaky", "LeakyRelu", ("x",), ("l",), {"alpha": constant(0.1)}),
        Node("mean", "AveragePool", ("l",), ("m",), window),
        Node("sum", "Add", ("p", "m"), ("y",)),
    )
    return Graph((TensorSpec("x", (None, 2, 4, 4)),), (TensorSpec("y", (None, 2, 2, 2)),), (), nodes)


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize(
    ("engine", "graph"),
    [("masked", dense([5, 4, 3], last="Sigmoid")), ("masked", branches()), ("crypten", dense([5, 4], last="Relu"))],
)
def test_nodes_add_up_to_the_plan(engine: str, graph: Graph, parties: int) -> None:
    found = model_cost(engine, graph, 3, parties)
    plan = found.plan
    assert sum(node.rounds for node in found.nodes) == plan.rounds
    assert sum(node.bytes_sent for node in found.nodes) == plan.bytes_sent
    assert sum(node.material_bytes for node in found.nodes) == plan.material_bytes
    assert sum(node.correction_bytes for node in found.nodes) + 32 == plan.correction_bytes
    assert {node.name for node in graph.nodes} <= {node.name for node in found.nodes}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "mpc_infer.cli", "model", "cost", *arguments]
    return subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)


def exported_to(directory: Path) -> Path:
    file = directory / "mlp.onnx"
    file.write_bytes(exported("torch_mlp"))
    return file


def test_the_command(tmp_path: Path) -> None:
    file = exported_to(tmp_path)
    model = import_onnx(file)
    done = command(str(file), "--rows", "1,5", "--parties", "2,3", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    published = model_cost("masked", model.graph, 5, 3, choose(model.graph, model.weights, None).fixed).plan
    assert [(plan["parties"], plan["rows"]) for plan in shown["plans"]] == [(2, 1), (2, 5), (3, 1), (3, 5)]
    assert shown["plans"][-1]["plan_digest"] == published.digest.hex()
    stored = tmp_path / "graph.json"
    stored.write_bytes(model.graph.to_bytes())
    expected = model_cost("masked", model.graph, 5, 3).plan
    table = command(str(stored), "--rows", "5", "--parties", "3")
    assert table.returncode == 0, table.stderr
    assert expected.digest.hex() in table.stdout
    assert f"{expected.bytes_sent:,}" in table.stdout


def tall(directory: Path) -> Path:
    """A model whose values leave fixed point unless its inputs are small."""
    nodes = [node("Gemm", ["x", "w"], "h"), node("Relu", ["h"], "r"), node("Gemm", ["r", "v"], "y")]
    weights = {"w": np.full((8, 4), 3000.0, np.float32), "v": np.full((4, 2), 3000.0, np.float32)}
    file = directory / "tall.onnx"
    file.write_bytes(checked(make_model(nodes, weights)))
    return file


def ask(*arguments: object) -> Result:
    return CliRunner().invoke(cost, [str(each) for each in arguments], catch_exceptions=False)


def test_the_cost_is_that_of_the_numbers_that_would_be_published(tmp_path: Path) -> None:
    file = tall(tmp_path)
    report = check_model(file, Wanted("masked", 3, 5, 50))
    assert report.numerics is not None
    assert report.cost is not None
    assert report.numerics.frac_bits < 16
    shown = json.loads(ask(file, "--input-limit", 50, "--rows", 5, "--parties", 3, "--json").stdout)
    assert (shown["frac_bits"], shown["refusal"]) == (report.numerics.frac_bits, None)
    assert shown["plans"][0]["plan_digest"] == report.cost.plan.digest.hex()
    assert f"with {report.numerics.frac_bits} fractional bits" in ask(file, "--input-limit", 50).stdout


def test_a_model_that_would_be_refused_has_its_cost_and_the_reason(tmp_path: Path) -> None:
    file = tall(tmp_path)
    shown = json.loads(ask(file, "--input-limit", 1000, "--rows", 1, "--json").stdout)
    assert (shown["frac_bits"], len(shown["plans"])) == (16, 2)
    assert "'relu_r' (Relu)" in shown["refusal"]["message"]
    table = ask(file, "--input-limit", 1000).stdout
    assert "publishing would refuse this model" in table
    assert "what to do: declare narrower ranges" in table


def test_ceilings_cost_comparisons(tmp_path: Path) -> None:
    file, rows = tall(tmp_path), tmp_path / "rows.npy"
    np.save(rows, np.ones((2, 8)) * np.array([[-0.5], [0.5]]))
    without, ended = (
        json.loads(ask(file, "--calibrate", rows, *more, "--rows", 1, "--parties", 2, "--json").stdout)["plans"][0]
        for more in ((), ("--ceilings",))
    )
    assert ended["rounds"] >= without["rounds"]
    assert ended["bytes_sent_by_each_party"] > without["bytes_sent_by_each_party"]


def test_a_graph_without_weights_says_nothing_of_ranges(tmp_path: Path) -> None:
    stored = tmp_path / "graph.json"
    stored.write_bytes(import_onnx(exported_to(tmp_path)).graph.to_bytes())
    with pytest.raises(InvalidInput, match="no weights"):
        ask(stored, "--input-limit", 4)


def test_what_the_command_refuses(tmp_path: Path) -> None:
    file = exported_to(tmp_path)
    for rows in ("0", "x", "", "1,", "-1", "1" * 40, ",".join("1" * 17)):
        assert CliRunner().invoke(cost, [str(file), "--rows", rows]).exit_code == 2, rows
    broken = tmp_path / "graph.json"
    broken.write_bytes(b"{}")
    assert isinstance(CliRunner().invoke(cost, [str(broken)]).exception, CorruptModel)
