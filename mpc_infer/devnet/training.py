"""The demo's two models, trained here on data that scikit-learn carries along."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpc_infer.devnet.onnx_export import Layer, dense_onnx

SEED = 7
HELD_OUT = 0.3


@dataclass(frozen=True)
class TrainedModel:
    """A model and the rows it has not seen.

    Attributes:
        name: its name in the registry.
        title: what it is.
        onnx: the exported file.
        rows: held-out inputs, float32 [n, features].
        labels: their classes, int [n].
        layers: the weights, to compute the plain result with.
        input_limit: what it is published with: twice what the training data reach, as a power of two.
    """

    name: str
    title: str
    onnx: bytes
    rows: NDArray[np.float32]
    labels: NDArray[np.int64]
    layers: tuple[Layer, ...]
    input_limit: int

    def plain(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits in float64, without any privacy: what the private result is compared with."""
        values = rows.astype(np.float64)
        for index, (weights, bias) in enumerate(self.layers):
            values = values @ weights + bias
            if index < len(self.layers) - 1:
                values = np.maximum(values, 0.0)
        return values

    def accuracy(self, logits: NDArray[np.float64]) -> float:
        """Share of rows classified correctly; one logit means two classes."""
        classes = (logits[:, 0] > 0).astype(np.int64) if logits.shape[1] == 1 else logits.argmax(axis=1)
        return float((classes == self.labels[: len(classes)]).mean())


def _as_exported(weights: NDArray[np.float64], bias: NDArray[np.float64]) -> Layer:
    """What the ONNX file holds: float32 values."""
    return weights.astype(np.float32).astype(np.float64), bias.astype(np.float32).astype(np.float64)


def _input_limit(train: NDArray[np.float64]) -> int:
    return 1 << max(0, math.ceil(math.log2(2 * float(np.abs(train).max()))))


def breast_cancer() -> TrainedModel:
    """Logistic regression on 30 standardised features: benign or malignant."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    data, labels = load_breast_cancer(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        data, labels, test_size=HELD_OUT, random_state=SEED, stratify=labels
    )
    scaler = StandardScaler().fit(train)
    scaled = scaler.transform(train)
    fitted = LogisticRegression(max_iter=1000).fit(scaled, train_labels)
    layers = (_as_exported(fitted.coef_.T, fitted.intercept_),)
    rows = scaler.transform(test).astype(np.float32)
    onnx = dense_onnx(layers, "breast-cancer")
    return TrainedModel("breast-cancer", "logistic, 30-1", onnx, rows, test_labels, layers, _input_limit(scaled))


def digits() -> TrainedModel:
    """A 64-64-32-10 perceptron with ReLU on 8x8 images of digits."""
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    data, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        data / 16.0, labels, test_size=HELD_OUT, random_state=SEED, stratify=labels
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 80 passes suffice; nobody tunes a demo
        fitted = MLPClassifier((64, 32), max_iter=80, random_state=SEED).fit(train, train_labels)
    layers = tuple(_as_exported(w, b) for w, b in zip(fitted.coefs_, fitted.intercepts_, strict=True))
    onnx = dense_onnx(layers, "digits")
    rows = test.astype(np.float32)
    return TrainedModel("digits", "ReLU, 64-64-32-10", onnx, rows, test_labels, layers, _input_limit(train))


TRAINERS: tuple[Callable[[], TrainedModel], ...] = (breast_cancer, digits)
