"""Whether a model can be deployed, and what is known of it before it is: what `mpc-infer model check` reports."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpc_infer.engine.accuracy import Accuracy, compare
from mpc_infer.engine.costs import Cost, model_cost
from mpc_infer.errors import InvalidRequest, ModelRefused, MpcInferError
from mpc_infer.graph.input_ranges import Declared, in_units, resolved
from mpc_infer.graph.interval import Interval
from mpc_infer.graph.numerics import LOWEST_BITS, Numerics, choose
from mpc_infer.graph.onnx_import import ImportedModel, import_onnx
from mpc_infer.graph.public import with_public
from mpc_infer.graph.ranges import check_ranges
from mpc_infer.graph.survey import Judged, survey_onnx
from mpc_infer.sharing import FixedPoint

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Report:
    """Everything; what could not be found out is None.

    Attributes:
        refusal: why the model cannot be deployed; None: it can.
        nodes: of the file, where not all of them can be computed.
        model: as it is to be published.
        original: as it was read.
        numerics: where they hold.
        partial: intervals up to the node that may leave the range, with 8 fractional bits, where they do not.
        cost: for a number of rows and parties.
        accuracy: on the rows that were given.
    """

    refusal: MpcInferError | None
    nodes: tuple[Judged, ...] = ()
    model: ImportedModel | None = None
    original: ImportedModel | None = None
    numerics: Numerics | None = None
    partial: Mapping[str, Interval] = field(default_factory=dict)
    cost: Cost | None = None
    accuracy: Accuracy | None = None


@dataclass(frozen=True)
class Wanted:
    """What is asked: engine, parties, rows of a job, what is declared of inputs, rows to compare on, what the owner
    changes of a model before it is published, and which weights are public."""

    engine: str
    parties: int
    batch: int
    declared: Declared | None = None
    rows: Mapping[str, Reals] | None = field(default=None, repr=False)
    change: Callable[[ImportedModel], ImportedModel] = lambda model: model
    public_weights: tuple[str, ...] = ()


def check_model(path: Path, wanted: Wanted) -> Report:
    """Look at a file from all sides.

    1. Can every node be computed? If not, all that cannot are listed.
    2. What does it cost?
    3. Do values stay in range, with how many fractional bits, and how far off may results be?
    4. How far off are they on the rows that are given?

    Raises:
        InvalidInput: rows cannot be used, or a public weight does not exist.
    """
    try:
        original = import_onnx(path)
        original = replace(original, graph=with_public(original.graph, wanted.public_weights))
    except ModelRefused as error:
        return Report(error, nodes=_survey(path))
    try:
        model = wanted.change(original)
    except ModelRefused as error:
        return Report(error, model=original, original=original, partial=_partial(original, wanted.declared))
    return replace(_report(model, wanted, path), original=original)


def _report(model: ImportedModel, wanted: Wanted, path: Path) -> Report:
    numerics: Numerics | None = None
    cost: Cost | None = None
    refusal: MpcInferError | None = None
    try:
        numerics = choose(model.graph, model.weights, wanted.declared)
    except ModelRefused as error:
        refusal = error
    fixed = FixedPoint() if numerics is None else numerics.fixed
    try:
        cost = model_cost(wanted.engine, model.graph, wanted.batch, wanted.parties, fixed)
    except (ModelRefused, InvalidRequest) as error:
        refusal = error
    if numerics is None:
        return Report(refusal, model=model, cost=cost, partial=_partial(model, wanted.declared))
    accuracy = None
    if wanted.rows is not None:
        chosen = numerics.inputs, numerics.frac_bits
        accuracy = compare(model.graph, model.weights, *chosen, wanted.rows, path)
    return Report(refusal, model=model, numerics=numerics, cost=cost, accuracy=accuracy)


def _survey(path: Path) -> tuple[Judged, ...]:
    try:
        return survey_onnx(path)
    except ModelRefused:
        # The file as a whole cannot be read: the refusal says why.
        return ()


def _partial(model: ImportedModel, declared: Declared | None) -> dict[str, Interval]:
    found: dict[str, Interval] = {}
    ranges = 1 if declared is None else resolved(model.graph, declared)[0]
    try:
        units = in_units(model.graph, ranges, LOWEST_BITS)
        check_ranges(model.graph, model.weights, units, LOWEST_BITS, found=found)
    except ModelRefused:
        return found
    return found
