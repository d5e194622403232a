"""ONNX files as common tools export them, made when a test asks for one: nothing generated is in the repository."""

import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn


class LeNet(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 8, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(200, 16), nn.ReLU(), nn.Linear(16, 10),
        )  # fmt: skip


class Residual(nn.Module):
    """A block of a ResNet, with what comes before and after it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.one = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8))
        self.short = nn.Sequential(nn.Conv2d(4, 8, 1, 2, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.two(self.one(x)) + self.short(x))
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Encoder(nn.Module):
    """An encoder block as people write it, with the batch first; the mean over the tokens."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down, self.heads = nn.Linear(width, 32), nn.Linear(32, width), heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, tokens, width = x.shape
        split = [
            layer(x).view(rows, tokens, self.heads, width // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        ]
        attended = nn.functional.scaled_dot_product_attention(*split).transpose(1, 2).reshape(rows, tokens, width)
        x = self.first(x + self.out(attended))
        return self.second(x + self.down(nn.functional.gelu(self.up(x)))).mean(1)


class OneRow(nn.Module):
    """Exported for one row, with a reshape that says so."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.second = nn.Parameter(torch.randn(4, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.sigmoid(self.first(x)).view(1, 4, 4)
        return (hidden @ self.second).reshape(1, 12)


def _torch(make: Callable[[], nn.Module], *shape: int, rows: int | None = None) -> ModelProto:
    torch.manual_seed(0)
    model = make().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    dynamic = ({0: torch.export.Dim("rows")},) if rows is None else None
    example = (torch.randn(rows or 2, *shape),)
    exported = torch.onnx.export(model, example, dynamo=True, dynamic_shapes=dynamic, verbose=False)
    return exported.model_proto


def _sklearn(estimator: object, load: Callable[[], Any]) -> ModelProto:
    data = load()
    pipeline = make_pipeline(StandardScaler(), estimator).fit(data.data, data.target)
    # skl2onnx 1.20 cannot export a LinearSVC with its default options.
    options = {LinearSVC: {"nocl": True}} if isinstance(estimator, LinearSVC) else None
    return to_onnx(pipeline, data.data[:1].astype(np.float32), options=options)


def _layer() -> nn.Module:
    return nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu")


def _mlp(kind: type, **settings: Any) -> object:
    return kind(hidden_layer_sizes=(8,), max_iter=300, random_state=0, **settings)


MODELS: dict[str, Callable[[], ModelProto]] = {
    "torch_mlp": partial(_torch, lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), 8),
    "torch_reshape_one_row": partial(_torch, OneRow, 8, rows=1),
    "torch_lenet": partial(_torch, LeNet, 1, 28, 28),
    "torch_residual": partial(_torch, lambda: nn.Sequential(Residual()), 3, 12, 12),
    "torch_encoder": partial(_torch, Encoder, 6, 16),
    "torch_encoder_layer": partial(_torch, _layer, 6, 16),
    "sklearn_logistic_cancer": partial(_sklearn, LogisticRegression(), load_breast_cancer),
    "sklearn_logistic_wine": partial(_sklearn, LogisticRegression(max_iter=500), load_wine),
    "sklearn_svc_cancer": partial(_sklearn, LinearSVC(), load_breast_cancer),
    "sklearn_svc_wine": partial(_sklearn, LinearSVC(), load_wine),
    "sklearn_mlp_cancer": partial(_sklearn, _mlp(MLPClassifier), load_breast_cancer),
    "sklearn_mlp_wine": partial(_sklearn, _mlp(MLPClassifier), load_wine),
    "sklearn_linear_diabetes": partial(_sklearn, LinearRegression(), load_diabetes),
    "sklearn_ridge_diabetes": partial(_sklearn, Ridge(), load_diabetes),
    "sklearn_mlp_diabetes": partial(_sklearn, _mlp(MLPRegressor), load_diabetes),
}


@cache
def exported(name: str) -> bytes:
    """The file of a name in `MODELS`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MODELS[name]().SerializeToString()
