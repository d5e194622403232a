import numpy as np
import onnxruntime
import pytest

from mpc_infer.devnet.training import TRAINERS, TrainedModel


@pytest.fixture(scope="module", params=TRAINERS, ids=lambda trainer: trainer.__name__)
def trained(request: pytest.FixtureRequest) -> TrainedModel:
    model: TrainedModel = request.param()
    return model


def test_the_exported_file_computes_what_we_compare_with(trained: TrainedModel) -> None:
    (logits,) = onnxruntime.InferenceSession(trained.onnx).run(None, {"x": trained.rows})
    assert np.abs(logits - trained.plain(trained.rows)).max() < 1e-4


def test_the_model_is_worth_showing(trained: TrainedModel) -> None:
    assert trained.accuracy(trained.plain(trained.rows)) > 0.95
    assert len(trained.rows) == len(trained.labels) > 150
