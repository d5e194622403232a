"""Many small networks and pipelines as torch.onnx and skl2onnx export them, against onnxruntime. All are slow."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from skl2onnx import to_onnx
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVR
from torch import nn
from torch.nn import functional

from mpc_infer.errors import UnsupportedOperator
from mpc_infer.graph import import_onnx
from tests.unit.graph.onnx_models import run_onnx, values
from tests.unit.graph.test_exported_models import scores
from tests.unit.graph.test_onnx_import import run_imported

pytestmark = pytest.mark.slow


class After(nn.Module):
    """A function of what a layer makes."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(8, 8), function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self.layer(x))


class Plain(nn.Module):
    """A function of the input."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


class Classifier(nn.Module):
    """A transformer with a token of its own in front."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.token, self.head = nn.Parameter(torch.randn(1, 1, 16)), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        return self.head(self.encoder(x)[:, 0])


class Attention(nn.Module):
    """As torch has it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x, x, x)[0]


class Causal(nn.Module):
    """Attention that looks only back."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Linear(16, 48)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [each.view(x.shape[0], 6, 2, 8).transpose(1, 2) for each in self.all(x).chunk(3, -1)]
        seen = functional.scaled_dot_product_attention(*parts, is_causal=True)
        return seen.transpose(1, 2).reshape(x.shape[0], 6, 16)


class Mobile(nn.Module):
    """A block of a MobileNet: depthwise, squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
            nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.BatchNorm2d(8), nn.Hardswish(), nn.Conv2d(8, 16, 1),
        )  # fmt: skip
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), nn.Hardsigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x)
        return (x * self.gate(x)).mean((2, 3))


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "elu": functional.elu,
    "selu": functional.selu,
    "celu": functional.celu,
    "leaky": functional.leaky_relu,
    "softsign": functional.softsign,
    "relu6": functional.relu6,
    "hardtanh": functional.hardtanh,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "silu": functional.silu,
    "mish": functional.mish,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "softplus": functional.softplus,
    "glu": functional.glu,
    "tanhshrink": functional.tanhshrink,
    "softshrink": functional.softshrink,
    "hardshrink": functional.hardshrink,
    "erf": torch.erf,
    "threshold": lambda x: functional.threshold(x, 0.1, 0.5),
    "sign": torch.sign,
    "prelu": nn.PReLU(8),
    "norm": nn.LayerNorm(8),
    "where": lambda x: torch.where(x > 0, x, 2 * x),
    "maximum": lambda x: torch.maximum(x, -x),
    "both": lambda x: ((x > 0) & (x < 1)).float(),
    "any": lambda x: (x > 0).any(-1).float(),
    "length": lambda x: x.norm(dim=-1, keepdim=True),
    "normalised": lambda x: functional.normalize(x, dim=-1),
    "variance": lambda x: x.var(-1),
    "deviation": lambda x: x.std(-1),
    "product": lambda x: x.prod(-1),
    "least": lambda x: x.min(-1).values,
    "place": lambda x: x.argmax(-1),
    "flip": lambda x: x.flip(-1),
    "roll": lambda x: x.roll(1, -1),
    "cumsum": lambda x: x.cumsum(-1),
    "softmin": lambda x: functional.softmin(x, -1),
    "cube": lambda x: x**3,
    "rsqrt": lambda x: (x**2 + 1).rsqrt(),
    "repeat": lambda x: x.repeat(1, 2),
    "outer": lambda x: x.unsqueeze(2) * x.unsqueeze(1),
    "gather": lambda x: x[:, [3, 1, 1]],
    "rms": nn.RMSNorm(8),
    "divide": lambda x: x / (x.abs() + 1),
    "parts": lambda x: torch.cat(x.split(3, -1)[::-1], -1),
}
NETWORKS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "classifier": (Classifier(), (5, 16)),
    "attention": (Attention(), (6, 16)),
    "causal": (Causal(), (6, 16)),
    "mobile": (Mobile(), (3, 12, 12)),
    "pad": (Plain(lambda x: functional.pad(x, (1, 2, 3, 4))), (3, 6, 6)),
    "pad_reflect": (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), (3, 6, 6)),
    "pad_replicate": (nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate"), (3, 6, 6)),
    "pad_circular": (nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), (3, 6, 6)),
    "same": (nn.Conv2d(3, 4, 3, padding="same"), (3, 6, 6)),
    "one_axis": (nn.Conv1d(3, 4, 3, padding=1), (3, 9)),
    "groups": (nn.GroupNorm(2, 4), (4, 6, 6)),
    "instances": (nn.InstanceNorm2d(4, affine=True), (4, 6, 6)),
    "layer_norm_image": (nn.LayerNorm([4, 6, 6]), (4, 6, 6)),
    "shuffle": (nn.PixelShuffle(2), (4, 6, 6)),
    "unshuffle": (nn.PixelUnshuffle(2), (4, 6, 6)),
    "channels": (nn.ChannelShuffle(2), (4, 6, 6)),
    "adaptive": (nn.AdaptiveAvgPool2d(2), (4, 6, 6)),
    "average": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (4, 7, 7)),
    "ceil": (nn.MaxPool2d(3, 2, ceil_mode=True), (3, 8, 8)),
    "upsample": (nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, 3)), (3, 6, 6)),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), (3, 4, 4)),
    "transposed": (nn.ConvTranspose2d(4, 2, 3, 2, 1, output_padding=1), (4, 5, 5)),
    "unfold": (nn.Unfold(2), (4, 6, 6)),
}
REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "log": (lambda x: torch.log(x.abs() + 1), "Log.*constants alone"),
    "log_softmax": (lambda x: functional.log_softmax(x, -1), "LogSoftmax.*the client can take the softmax"),
    "sorted": (lambda x: torch.sort(x, -1).values, "TopK.*client"),
    "einsum": (lambda x: torch.einsum("bi,bj->bij", x, x), "Einsum.*MatMul"),
    "floor": (torch.floor, "Floor.*constants alone"),
}


def export(module: nn.Module, shape: tuple[int, ...]) -> bytes:
    torch.manual_seed(0)
    sizes = ({0: torch.export.Dim("rows")},)
    made = torch.onnx.export(module.eval(), (torch.randn(2, *shape),), dynamo=True, dynamic_shapes=sizes, verbose=False)
    return made.model_proto.SerializeToString()


@pytest.mark.parametrize("name", [*FUNCTIONS, *NETWORKS])
def test_networks(name: str) -> None:
    module, shape = NETWORKS[name] if name in NETWORKS else (After(FUNCTIONS[name]), (8,))
    file = export(module, shape)
    imported = import_onnx(file)
    x = {imported.graph.inputs[0].name: values((3, *shape), 1)}
    (found,), (expected,) = run_imported(imported, x).values(), run_onnx(file, x).values()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 2e-3


@pytest.mark.parametrize("name", REFUSED)
def test_networks_that_are_refused_say_what_to_do(name: str) -> None:
    function, says = REFUSED[name]
    with pytest.raises(UnsupportedOperator, match=f"node '.*{says}"):
        import_onnx(export(After(function), (8,)))


STEPS: dict[str, tuple[Any, Any, float]] = {
    # name: estimators, data, largest deviation (of targets from 25 to 346, scores, probabilities)
    "sgd": ((StandardScaler(), SGDClassifier(loss="log_loss")), load_wine, 0.02),
    "pca": ((StandardScaler(), PCA(4), LogisticRegression()), load_wine, 0.02),
    "max_abs": ((MaxAbsScaler(), LogisticRegression()), load_wine, 0.02),
    "robust": ((RobustScaler(), LogisticRegression()), load_wine, 0.02),
    "min_max": ((MinMaxScaler(clip=True), LogisticRegression()), load_wine, 0.02),
    "discriminant": ((StandardScaler(), LinearDiscriminantAnalysis()), load_wine, 0.02),
    "selected": ((StandardScaler(), SelectKBest(k=5), LogisticRegression()), load_wine, 0.02),
    "one_versus_rest": ((StandardScaler(), OneVsRestClassifier(LogisticRegression())), load_wine, 0.02),
    "calibrated": ((StandardScaler(), CalibratedClassifierCV(LogisticRegression())), load_wine, 0.02),
    "columns": (
        (ColumnTransformer([("a", StandardScaler(), [0, 1]), ("b", MinMaxScaler(), [5])]), LogisticRegression()),
        load_wine,
        0.02,
    ),
    "binary": ((StandardScaler(), Binarizer(), LogisticRegression()), load_wine, 0.02),
    "liblinear": ((StandardScaler(), LogisticRegression(solver="liblinear")), load_breast_cancer, 0.02),
    "lasso": ((StandardScaler(), Lasso()), load_diabetes, 0.1),
    "elastic": ((StandardScaler(), ElasticNet()), load_diabetes, 0.1),
    "vectors": ((StandardScaler(), LinearSVR()), load_diabetes, 0.1),
    "polynomial": ((StandardScaler(), PolynomialFeatures(2), Ridge()), load_diabetes, 0.2),
    "least_squares": ((StandardScaler(), PLSRegression(2)), load_diabetes, 0.1),
    "poisson": ((StandardScaler(), PoissonRegressor()), load_diabetes, 0.2),
}


def pipeline(steps: Any, load: Callable[[], Any]) -> tuple[bytes, Any]:
    data = load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = make_pipeline(*steps).fit(data.data, data.target)
        rows = data.data[::7].astype(np.float32)
        return to_onnx(fitted, rows[:1]).SerializeToString(), rows


@pytest.mark.parametrize("name", STEPS)
def test_pipelines(name: str) -> None:
    steps, load, tolerance = STEPS[name]
    file, rows = pipeline(steps, load)
    (found,) = run_imported(import_onnx(file), {"X": rows}).values()
    expected = scores(run_onnx(file, {"X": rows}))
    if "Classifier" in str(file) and found.shape[1] > 1:
        found = found / found.sum(axis=1, keepdims=True)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < tolerance


@pytest.mark.parametrize(
    ("steps", "says"), [((Normalizer(), LogisticRegression()), "normalise the rows"), ((SVC(),), "SVMClassifier")]
)
def test_pipelines_that_are_refused(steps: Any, says: str) -> None:
    file, _ = pipeline(steps, load_wine)
    with pytest.raises(UnsupportedOperator, match=says):
        import_onnx(file)
