"""200,000 inferences of the demo's models with three parties, none off by more than 2e-3."""

import numpy as np
import pytest

from bench.models import float_inference
from mpc_infer.devnet.training import TRAINERS
from mpc_infer.graph import Graph, Node, TensorSpec, import_onnx

BATCH = 2_000
LIMIT = 2e-3


def with_sigmoid(graph):
    """The same graph, ending in probabilities."""
    (output,) = graph.outputs
    node = Node("probability", "Sigmoid", (output.name,), ("p",))
    return Graph(graph.inputs, (TensorSpec("p", output.shape),), graph.weights, (*graph.nodes, node))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("trainer", "probabilities", "count"),
    [(0, False, 60_000), (0, True, 40_000), (1, False, 100_000)],
    ids=["logistic", "logistic-sigmoid", "mlp"],
)
def test_none_is_wrong(fleets, trainer, probabilities, count):
    fleet = fleets(3)
    trained = TRAINERS[trainer]()
    imported = import_onnx(trained.onnx)
    graph = with_sigmoid(imported.graph) if probabilities else imported.graph
    fleet.load(graph, imported.weights)
    random = np.random.default_rng(count)
    worst, done = 0.0, 0
    while done < count:
        rows = trained.rows[random.integers(0, len(trained.rows), BATCH)]
        inputs = {graph.inputs[0].name: rows + random.normal(0, 0.05, rows.shape)}
        outputs = fleet.infer(graph, inputs).outputs
        for name, exact in float_inference(graph, imported.weights, inputs).items():
            worst = max(worst, float(np.abs(outputs[name] - exact).max()))
        done += BATCH
        assert worst <= LIMIT, f"after {done} inferences"
    print(f"{trained.name}: {done} inferences, largest error {worst:.2e}")
