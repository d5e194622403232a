"""Makes tests/unit/graph/data/{torch,sklearn}_*.onnx. Needs `pip install onnxscript skl2onnx` beside .[dev].

    python -m tests.unit.graph.make_models

The exporters' versions change the files: torch 2.13 and skl2onnx 1.20 made those that are committed.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

DATA = Path(__file__).parent / "data"


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


def export(name: str, model: nn.Module, *shape: int) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    rows = {0: torch.export.Dim("rows")}
    made = torch.onnx.export(model.eval(), (torch.randn(2, *shape),), dynamo=True, dynamic_shapes=(rows,))
    _write(f"torch_{name}", made.model_proto)


def _write(name: str, model: object) -> None:
    for each in model.graph.node:
        del each.metadata_props[:]
        each.doc_string = ""
    for each in (*model.graph.value_info, *model.graph.initializer, *model.graph.input, *model.graph.output):
        del each.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    (DATA / f"{name}.onnx").write_bytes(model.SerializeToString())


def fit(name: str, estimator: object, data: object) -> None:
    from skl2onnx import to_onnx

    pipeline = make_pipeline(StandardScaler(), estimator).fit(data.data, data.target)
    # skl2onnx 1.20 cannot export a LinearSVC with its default options.
    options = {LinearSVC: {"nocl": True}} if isinstance(estimator, LinearSVC) else None
    _write(f"sklearn_{name}", to_onnx(pipeline, data.data[:1].astype(np.float32), options=options))


def main() -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    export("lenet", LeNet(), 1, 28, 28)
    export("residual", nn.Sequential(Residual()), 3, 12, 12)
    export("encoder", Encoder(), 6, 16)
    export("encoder_layer", nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu"), 6, 16)
    cancer, wine, diabetes = load_breast_cancer(), load_wine(), load_diabetes()
    fit("logistic_cancer", LogisticRegression(), cancer)
    fit("logistic_wine", LogisticRegression(max_iter=500), wine)
    fit("svc_cancer", LinearSVC(), cancer)
    fit("svc_wine", LinearSVC(), wine)
    fit("mlp_cancer", MLPClassifier((8,), max_iter=300, random_state=0), cancer)
    fit("mlp_wine", MLPClassifier((8,), max_iter=300, random_state=0), wine)
    fit("linear_diabetes", LinearRegression(), diabetes)
    fit("ridge_diabetes", Ridge(), diabetes)
    fit("mlp_diabetes", MLPRegressor(hidden_layer_sizes=(8,), max_iter=300, random_state=0), diabetes)


if __name__ == "__main__":
    main()
