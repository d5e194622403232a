"""docs/onnx_backend.md: `python -m tests.protocol.onnx_page > docs/onnx_backend.md` (minutes).

With names of operators it prints only their lines.
"""

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from bench.fleet import Fleet
from mpc_infer.engine.crypten.operators import _OPERATORS as CRYPTEN
from mpc_infer.engine.plain import run_plain
from mpc_infer.errors import ModelRefused, MpcInferError
from mpc_infer.graph import ImportedModel, import_onnx
from mpc_infer.sharing import decode, encode
from tests.protocol.masked_parties import evaluate
from tests.protocol.onnx_cases import CLAIMED, Adapted, Case, DoesNotApply, adapted, cases

TOLERANCE = 1e-3
"""ONNX's own, relative to what is larger than 1."""
Engine = Callable[[ImportedModel, dict[str, Any]], dict[str, Any]]

INTRODUCTION = f"""# ONNX's own test cases

The cases of `onnx.backend.test` (onnx {onnx.__version__}) of every operator of [models.md](models.md), `_expanded` ones
(the same computation spelled out) included. Written by `python -m tests.protocol.onnx_page`; a slow test runs all
of it and compares it with this page, a fast one does so for some operators.

A case *passes* on an engine if every output differs from ONNX's by less than {TOLERANCE} times what is larger, the
output's size or 1. `masked` runs among two parties; so does `crypten`, where it has all operators that the graph needs.

- *tensor*: every input is one row, which loses its batch axis before the node: it computes exactly the case.
- *rows*: the case's first axis is the batch.
- *first output*: the case wants more outputs than can be computed.

Inputs of integers (axes, shapes, places) are constants; so are weights, bounds and exponents. Truth values are made by
a comparison and come out as 0 and 1. An operator that is computed of constants alone, when the file is read, has
constants for all its inputs. Whether values stay in range is not asked here: [models.md](models.md) says what
publishing demands.

| operator | case | result |
|---|---|---|
"""


@dataclass(frozen=True)
class Verdict:
    """What became of a case: the engines on which it passes and how it was fed, or why it does not apply."""

    case: Case
    engines: tuple[str, ...] = ()
    how: str = ""
    reason: str = ""

    def line(self) -> str:
        """The page's."""
        refused = f"; {self.reason}" if self.reason else ""
        passes = f"{', '.join(self.engines)} ({self.how}){refused}"
        result = passes if self.engines else f"does not apply: {self.reason}"
        return f"| `{self.case.operator}` | `{self.case.name}` | {result.replace('|', '/')} |"


def plain(model: ImportedModel, inputs: dict[str, Any]) -> dict[str, Any]:
    """The oracle."""
    weights = {name: encode(value) for name, value in model.weights.items()}
    return decoded(run_plain(model.graph, weights, {name: encode(value) for name, value in inputs.items()}))


def masked(model: ImportedModel, inputs: dict[str, Any]) -> dict[str, Any]:
    """Two parties as threads."""
    return decoded(evaluate(model.graph, model.weights, inputs).ring)


def on(fleet: Fleet) -> Engine:
    """Two parties as processes, of the crypten engine."""

    def run(model: ImportedModel, inputs: dict[str, Any]) -> dict[str, Any]:
        fleet.load(model.graph, model.weights)
        return fleet.infer(model.graph, inputs).outputs

    return run


def decoded(rings: dict[str, Any]) -> dict[str, Any]:
    """Outputs as reals."""
    return {name: decode(ring) for name, ring in rings.items()}


def verdict(case: Case, crypten: Engine | None) -> Verdict:
    """Run a case on every engine that has its operators (CrypTen only where one is given).

    Raises:
        AssertionError: it is accepted, and computes something else.
    """
    reasons: list[str] = []
    try:
        for model in adapted(case):
            try:
                imported = import_onnx(model.data)
            except ModelRefused as error:
                reasons.append(_said(error))
            else:
                return _on_engines(case, model, imported, crypten)
    except DoesNotApply as error:
        reasons.append(str(error))
    return Verdict(case, reason="; ".join(dict.fromkeys(reasons)))


def _on_engines(case: Case, model: Adapted, imported: ImportedModel, crypten: Engine | None) -> Verdict:
    passed, refusals = [], []
    for name, engine in _engines(imported, crypten).items():
        try:
            found = engine(imported, model.inputs)
        except MpcInferError as error:
            refusals.append(f"{name} refuses: {error.message}")
        else:
            check(case, name, model, found)
            passed.append(name)
    return Verdict(case, tuple(passed), model.how, "; ".join(refusals))


def _engines(imported: ImportedModel, crypten: Engine | None) -> dict[str, Engine]:
    engines: dict[str, Engine] = {"plain": plain, "masked": masked}
    if crypten is not None and {str(node.op) for node in imported.graph.nodes} <= set(CRYPTEN):
        engines["crypten"] = crypten
    return engines


def _said(error: ModelRefused) -> str:
    # The node is the case's own.
    head, _, said = error.message.partition("): ")
    return said if said and head.startswith("node ") else error.message


def check(case: Case, engine: str, model: Adapted, found: dict[str, Any]) -> None:
    """Compare with what ONNX says.

    Raises:
        AssertionError: it differs.
    """
    assert found.keys() == model.outputs.keys(), f"{case.name} on {engine}"
    for name, expected in model.outputs.items():
        assert found[name].shape == expected.shape, f"{case.name} on {engine}: {name}"
        error = np.abs(found[name] - expected) / np.maximum(1, np.abs(expected))
        assert error.max(initial=0.0) < TOLERANCE, f"{case.name} on {engine}: {name} is off by {error.max()}"


def lines(operators: Iterable[str], crypten: Engine | None) -> Iterator[str]:
    """The page's lines for some operators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in cases(operators):
            yield verdict(case, crypten).line()


def summary(found: list[str]) -> str:
    """How many pass."""
    count = Counter("does not apply" in line for line in found)
    return f"\n{count[False]} cases pass, {count[True]} do not apply.\n"


def page(crypten: Engine | None) -> str:
    """All of it."""
    found = list(lines(CLAIMED, crypten))
    return INTRODUCTION + "".join(f"{line}\n" for line in found) + summary(found)


def main() -> None:
    """Print."""
    with Fleet(2) as fleet:
        wanted = sys.argv[1:]
        sys.stdout.write("\n".join(lines(wanted, on(fleet))) + "\n" if wanted else page(on(fleet)))


if __name__ == "__main__":
    main()
