"""Error curves of the masked engine: `python -m tests.protocol.masked_curves` prints the table of docs/engine.md.

Errors are differences between what the parties hold and the real function of the input that they hold, in units of
2^-16; where the function exceeds 1, relative to it.
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpc_infer.graph.functions import constant
from tests.protocol.masked_parties import evaluate
from tests.protocol.test_masked_operators import UNIT, single

Reals = Any
CHUNK = 1 << 14


@dataclass(frozen=True)
class Curve:
    """A function and where it is looked at.

    Attributes:
        op: of the graph.
        where: for the page.
        points: for a stride, chunks of rows that all have one shape.
        function: the real one, on rows.
        attributes, weights: of the node.
    """

    op: str
    where: str
    points: Callable[[int], Iterator[Reals]]
    function: Callable[[Reals], Reals]
    attributes: dict[str, int] | None = None
    weights: dict[str, Reals] | None = None


def all_points(low: float, high: float, *far: float) -> Callable[[int], Iterator[Reals]]:
    """Every representable number from low to high, and some far ones."""

    def points(stride: int) -> Iterator[Reals]:
        near = np.arange(round(low / UNIT), round(high / UNIT) + 1, stride) * UNIT
        return chunks(np.concatenate([near, far]))

    return points


def sparser(low: float, high: float, *, both: bool) -> Callable[[int], Iterator[Reals]]:
    """Every representable number from low to 1, then half a million evenly by logarithm, of one sign or both."""

    def points(stride: int) -> Iterator[Reals]:
        near = np.arange(round(low / UNIT), round(1 / UNIT), stride) * UNIT
        far = np.round(np.geomspace(1, high, (1 << 19) // stride) / UNIT) * UNIT
        found = np.concatenate([near, far])
        return chunks(np.concatenate([found, -found]) if both else found)

    return points


def chunks(values: Reals) -> Iterator[Reals]:
    """Rows of one size, the last filled up with what it begins with."""
    for start in range(0, values.size, CHUNK):
        yield np.resize(values[start : start + CHUNK], CHUNK)[None]


def rows(width: int, scales: tuple[float, ...], *, equal: bool) -> Callable[[int], Iterator[Reals]]:
    """Random rows of one width: many, of several scales, and rows of equal numbers if wanted."""

    def points(stride: int) -> Iterator[Reals]:
        random = np.random.default_rng(width)
        for scale in scales:
            found = random.normal(size=(max(1, 4096 // stride), width)) * scale + random.normal()
            if equal:
                found[0] = found[0, 0]
            yield np.round(found / UNIT) * UNIT

    return points


def _sigmoid(x: Reals) -> Reals:
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def _gelu(x: Reals) -> Reals:
    return 0.5 * x * (1 + np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2)))


def _softmax(x: Reals) -> Reals:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _layer_norm(x: Reals) -> Reals:
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 2.0**-10)


FAR = (-32767.9, -1000.0, -40.0, 40.0, 1000.0, 32767.9)
_NORM = {"attributes": {"epsilon": constant(2.0**-10)}, "weights": {"g": np.ones(64), "b": np.zeros(64)}}
CURVES = (
    Curve("Sigmoid", "every number", all_points(-17, 17, *FAR), _sigmoid),
    Curve("Tanh", "every number", all_points(-9, 9, *FAR), np.tanh),
    Curve("Erf", "every number", all_points(-5, 5, *FAR), np.vectorize(math.erf, otypes=[np.float64])),
    Curve("Gelu", "every number", all_points(-9, 9, *FAR), _gelu),
    Curve("Silu", "every number", all_points(-17, 17, *FAR), lambda x: x * _sigmoid(x)),
    Curve("Softplus", "every number", all_points(-17, 17, *FAR), lambda x: np.logaddexp(0, x)),
    Curve("Exp", "every number below log 2^15", all_points(-21, 10.39, -32767.9, -1000.0), np.exp),
    Curve("Reciprocal", "2^-14 <= abs(x) < 2^15", sparser(2.0**-14, 32767.9, both=True), lambda x: 1 / x),
    Curve("Rsqrt", "2^-14 <= x < 2^15", sparser(2.0**-14, 32767.9, both=False), lambda x: 1 / np.sqrt(x)),
    Curve("Softmax", "rows of 64", rows(64, (0.1, 1.0, 4.0, 100.0), equal=True), _softmax),
    Curve(
        "LayerNorm", "rows of 64, deviations 0.5 to 40", rows(64, (0.5, 3.0, 40.0), equal=False), _layer_norm, **_NORM
    ),
)


def errors(curve: Curve, stride: int) -> Reals:
    """All errors of a curve, in units."""
    found = []
    for x in curve.points(stride):
        graph = single(curve.op, {"x": x.shape[1:]}, weights=curve.weights, attributes=curve.attributes)
        run = evaluate(graph, curve.weights or {}, {"x": x})
        exact = curve.function(x)
        found.append(np.abs(run.ring["y"].view(np.int64) - exact / UNIT) / np.maximum(1, np.abs(exact)))
    return np.concatenate([part.reshape(-1) for part in found])


def main() -> None:
    """Print the table. An argument takes only every so manieth point."""
    stride = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    for curve in CURVES:
        all_errors = errors(curve, stride)
        worst, mean = all_errors.max(), all_errors.mean()
        size = f"{worst:.1f} ({worst * UNIT:.1e}) | {mean:.2f} ({mean * UNIT:.1e})"
        sys.stdout.write(f"| `{curve.op}` | {curve.where} | {all_errors.size:,} | {size} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
