"""Models trained on part of a data set, exported as people do, and judged on the rows that they have not seen."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from mpc_infer.graph import import_onnx
from mpc_infer.graph.onnx_import import ImportedModel
from mpc_infer.sharing import decode
from tests.protocol.masked_parties import evaluate

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """An ONNX file, rows that it was trained on, and some that it was not, with what is right for these."""

    file: bytes
    seen: NDArray[np.float32]
    rows: NDArray[np.float32]
    targets: NDArray[Any]

    def reference(self) -> Reals:
        """Scores, by onnxruntime: the last output."""
        session = onnxruntime.InferenceSession(self.file)
        last = session.run(None, {session.get_inputs()[0].name: self.rows})[-1]
        named = isinstance(last, list)  # scikit-learn names the class of every score
        return np.array([list(row.values()) for row in last] if named else last, dtype=np.float64)

    def private(self, imported: ImportedModel | None = None) -> dict[str, Reals]:
        """Scores, by engine; of the file as it is, unless a model is given that was made of it."""
        imported = imported or import_onnx(self.file)
        (spec,) = imported.graph.inputs
        run = evaluate(imported.graph, imported.weights, {spec.name: self.rows.astype(np.float64)})
        return {"plain": _only(run.expected), "masked": _only(run.ring)}

    def right(self, scores: Reals) -> int:
        """How many rows a classifier gets right."""
        first = scores.reshape(len(scores), -1)
        found = first.argmax(axis=1) if first.shape[1] > 1 else (first[:, 0] > 0).astype(int)
        return int((found == self.targets).sum())


def _only(outputs: dict[str, Any]) -> Reals:
    (ring,) = outputs.values()
    return decode(ring)


def _split(load: Callable[[], Any]) -> list[Any]:
    data = load()
    return list(train_test_split(data.data.astype(np.float32), data.target, test_size=0.3, random_state=0))


def _scikit_learn(estimator: object, load: Callable[[], Any]) -> Judged:
    rows, unseen, targets, answers = _split(load)
    pipeline = make_pipeline(StandardScaler(), estimator).fit(rows, targets)
    # skl2onnx 1.20 cannot export a LinearSVC with its default options.
    options = {LinearSVC: {"nocl": True}} if isinstance(estimator, LinearSVC) else None
    return Judged(to_onnx(pipeline, rows[:1], options=options).SerializeToString(), rows, unseen, answers)


def _torch(make: Callable[[], nn.Module], *shape: int, epochs: int = 30) -> Judged:
    """Trained on the digits, whose pixels are brought to 0 to 1."""
    rows, unseen, targets, answers = _split(load_digits)
    torch.manual_seed(0)
    model, pixels = make(), torch.tensor(rows / 16).reshape(-1, *shape)
    optimiser, wanted = torch.optim.Adam(model.parameters(), 3e-3), torch.tensor(targets)
    for _ in range(epochs):
        for batch in torch.randperm(len(pixels)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(pixels[batch]), wanted[batch]).backward()
            optimiser.step()
    return Judged(exported(model, pixels[:2]), pixels.numpy(), (unseen / 16).reshape(-1, *shape), answers)


def exported(model: nn.Module, example: torch.Tensor) -> bytes:
    """The file that torch writes, for any number of rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dynamic = ({0: torch.export.Dim("rows")},)
        program = torch.onnx.export(model.eval(), (example,), dynamo=True, dynamic_shapes=dynamic, verbose=False)
    assert program is not None
    return program.model_proto.SerializeToString()


def perceptron() -> nn.Module:
    """64-32-32-10."""
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))


def convolutions() -> nn.Module:
    """Two convolutions with batch normalisation, pools, and a layer on top; 8 x 8 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def _perceptron_of(kind: type) -> object:
    return kind(hidden_layer_sizes=(16,), max_iter=500, random_state=0)


CLASSIFIERS: dict[str, Callable[[], Judged]] = {
    "cancer_logistic": partial(_scikit_learn, LogisticRegression(), load_breast_cancer),
    "cancer_svc": partial(_scikit_learn, LinearSVC(), load_breast_cancer),
    "cancer_mlp": partial(_scikit_learn, _perceptron_of(MLPClassifier), load_breast_cancer),
    "wine_logistic": partial(_scikit_learn, LogisticRegression(), load_wine),
    "wine_svc": partial(_scikit_learn, LinearSVC(), load_wine),
    "wine_mlp": partial(_scikit_learn, _perceptron_of(MLPClassifier), load_wine),
    "digits_mlp": partial(_torch, perceptron, 64),
    "digits_cnn": partial(_torch, convolutions, 1, 8, 8, epochs=8),
}
REGRESSORS: dict[str, Callable[[], Judged]] = {
    "diabetes_ridge": partial(_scikit_learn, Ridge(), load_diabetes),
    "diabetes_mlp": partial(_scikit_learn, _perceptron_of(MLPRegressor), load_diabetes),
}


@cache
def judged(name: str) -> Judged:
    """A model by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {**CLASSIFIERS, **REGRESSORS}[name]()


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.one = _normed(channels, filters, 3, stride)
        self.two = _normed(filters, filters, 3, 1)
        self.around = nn.Sequential() if channels == filters else _normed(channels, filters, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.two(torch.relu(self.one(x))) + self.around(x))


def _normed(channels: int, filters: int, kernel: int, stride: int) -> nn.Module:
    convolution = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(filters))


def resnet20() -> nn.Module:
    """He et al. 2016 for 32 x 32 pixels, with projections as shortcuts."""
    sizes = [16] * 3 + [32] * 3 + [64] * 3
    blocks = [
        Block(before, after, 1 if before == after else 2) for before, after in zip([16, *sizes], sizes, strict=False)
    ]
    return nn.Sequential(
        _normed(3, 16, 3, 1), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    )


def residual(rows: int = 16) -> Judged:
    """ResNet-20 after five passes over 640 digits; some that it has not seen."""
    seen, unseen, targets, answers = _split(load_digits)
    torch.manual_seed(0)
    model, wanted = resnet20(), torch.tensor(targets)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for batch in torch.cat([torch.randperm(640) for _ in range(5)]).split(32):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(_enlarged(seen[batch.numpy()])), wanted[batch]).backward()
        optimiser.step()
    known, images = _enlarged(seen[:640]), _enlarged(unseen[:rows])
    return Judged(exported(model, images[:2]), known.numpy(), images.numpy(), answers[:rows])


def _enlarged(rows: NDArray[np.float32]) -> torch.Tensor:
    images = torch.tensor(rows / 16).reshape(-1, 1, 8, 8)
    return nn.functional.interpolate(images, size=(32, 32), mode="bilinear").repeat(1, 3, 1, 1)
