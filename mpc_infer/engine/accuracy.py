"""How far a model in fixed point is from the same model in floating point, on given rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpc_infer.engine.plain import run_plain
from mpc_infer.engine.real import run_real
from mpc_infer.errors import InvalidInput
from mpc_infer.graph.input_ranges import UnitRange
from mpc_infer.graph.ir import Graph
from mpc_infer.sharing.fixed import decode, encode

Reals = NDArray[np.float64]
CHUNK_ELEMENTS = 2**16
"""Of inputs, in one evaluation."""


@dataclass(frozen=True)
class Deviation:
    """One output: largest and mean distance, and in how many of all rows the largest element stands elsewhere.

    ``reordered`` is None where there is one element to a row.
    """

    largest: float
    mean: float
    reordered: int | None


@dataclass(frozen=True)
class Accuracy:
    """What was compared with what.

    Attributes:
        reference: "onnxruntime" (float32, or what the file has) or "float64" (our own evaluation of the graph).
        rows: that were given.
        outside: of them, rows that a client would refuse, and that were left out.
        outputs: by name; empty where no row was left.
    """

    reference: str
    rows: int
    outside: int
    outputs: dict[str, Deviation]


def rows_inside(graph: Graph, ranges: Mapping[str, UnitRange], rows: Mapping[str, Reals], frac_bits: int) -> Reals:
    """Whether every input of a row is inside, for each row.

    Raises:
        InvalidInput: rows of an input are missing, of another shape or number, or not finite.
    """
    _check_rows(graph, rows)
    inside = np.ones(len(next(iter(rows.values()))), dtype=bool)
    for spec in graph.inputs:
        units = np.rint(rows[spec.name] * 2.0**frac_bits)
        low, high = ranges[spec.name].bounds(units.shape[1:])
        inside &= ((units >= low) & (units <= high)).reshape(len(units), -1).all(axis=1)
    return inside


def _check_rows(graph: Graph, rows: Mapping[str, Reals]) -> None:
    names = [spec.name for spec in graph.inputs]
    if sorted(rows) != sorted(names):
        raise InvalidInput(f"rows are given for {sorted(rows)}", remedy=f"the model's inputs are {sorted(names)}")
    if len({len(rows[name]) for name in names}) > 1 or not len(rows[names[0]]):
        raise InvalidInput("the inputs have no rows, or not the same number of them")
    for spec in graph.inputs:
        if rows[spec.name].shape[1:] != spec.shape[1:] or not np.isfinite(rows[spec.name]).all():
            raise InvalidInput(f"rows of {spec.name!r} have shape {rows[spec.name].shape}, or are not finite")


def compare(
    graph: Graph,
    weights: Mapping[str, Reals],
    ranges: Mapping[str, UnitRange],
    frac_bits: int,
    rows: Mapping[str, Reals],
    onnx: Path | None = None,
) -> Accuracy:
    """Run the oracle on all rows that are inside, and what it is compared with.

    Args:
        onnx: the file, to run with onnxruntime where that is installed and has the same outputs.

    Raises:
        InvalidInput: as `rows_inside`.
    """
    inside = rows_inside(graph, ranges, rows, frac_bits)
    kept = {name: values[inside] for name, values in rows.items()}
    given = len(inside)
    if not inside.any():
        return Accuracy("none", given, given, {})
    found = _oracle(graph, weights, frac_bits, kept)
    expected = None if onnx is None else _onnxruntime(onnx, graph, kept)
    reference = "float64" if expected is None else "onnxruntime"
    if expected is None:
        expected = _joined(run_real(graph, weights, chunk) for chunk in _chunks(kept))
    outputs = {name: _deviation(value, expected[name]) for name, value in found.items()}
    return Accuracy(reference, given, given - int(inside.sum()), outputs)


def _oracle(graph: Graph, weights: Mapping[str, Reals], frac_bits: int, rows: Mapping[str, Reals]) -> dict[str, Reals]:
    encoded = {name: encode(value, frac_bits=frac_bits) for name, value in weights.items()}

    def evaluate(chunk: Mapping[str, Reals]) -> dict[str, Reals]:
        inputs = {name: encode(value, frac_bits=frac_bits) for name, value in chunk.items()}
        rings = run_plain(graph, encoded, inputs, frac_bits)
        return {name: decode(ring, frac_bits=frac_bits) for name, ring in rings.items()}

    return _joined(evaluate(chunk) for chunk in _chunks(rows))


def _chunks(rows: Mapping[str, Reals], *, several: bool = True) -> Iterator[dict[str, Reals]]:
    count = len(next(iter(rows.values())))
    step = max(1, CHUNK_ELEMENTS // sum(values[0].size for values in rows.values())) if several else 1
    for start in range(0, count, step):
        yield {name: values[start : start + step] for name, values in rows.items()}


def _joined(parts: Iterator[dict[str, Reals]]) -> dict[str, Reals]:
    whole = list(parts)
    return {name: np.concatenate([part[name] for part in whole]) for name in whole[0]}


def _onnxruntime(path: Path, graph: Graph, rows: Mapping[str, Reals]) -> dict[str, Reals] | None:
    """What onnxruntime computes, row by row where the file has one row; None: it is not here, or has other outputs."""
    try:
        import onnxruntime
    except ImportError:
        return None
    names = [spec.name for spec in graph.outputs]
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        several = session.get_inputs()[0].shape[0] != 1
        found = _joined(_run(session, names, chunk) for chunk in _chunks(rows, several=several))
    except Exception:  # noqa: BLE001 - its errors have no common class; there is another reference
        return None
    count = len(next(iter(rows.values())))
    shapes = {spec.name: spec.with_batch(count) for spec in graph.outputs}
    if any(found[name].size != np.prod(shapes[name]) for name in names):
        return None
    return {name: found[name].reshape(shapes[name]) for name in names}


def _run(session: object, names: list[str], chunk: Mapping[str, Reals]) -> dict[str, Reals]:
    types = {"tensor(double)": np.float64, "tensor(float16)": np.float16}
    wanted = {each.name: types.get(each.type, np.float32) for each in session.get_inputs()}  # type: ignore[attr-defined]
    feeds = {name: values.astype(wanted[name]) for name, values in chunk.items()}
    values = session.run(names, feeds)  # type: ignore[attr-defined]
    return {name: np.asarray(value, dtype=np.float64) for name, value in zip(names, values, strict=True)}


def _deviation(found: Reals, expected: Reals) -> Deviation:
    off, rows = np.abs(found - expected), len(found)
    flat = found.reshape(rows, -1), expected.reshape(rows, -1)
    places = [each.argmax(axis=1) for each in flat]
    several = flat[0].shape[1] > 1
    return Deviation(float(off.max()), float(off.mean()), int((places[0] != places[1]).sum()) if several else None)
