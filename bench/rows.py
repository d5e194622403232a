"""What is measured, and the rows that the benchmark's JSON has."""

import json
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from bench import reference
from bench.graphs import BATCHES, INPUTS, MODELS
from mpc_infer.errors import ModelRefused
from mpc_infer.graph import Graph
from mpc_infer.graph.numerics import choose
from mpc_infer.sharing import FixedPoint

Row = dict[str, Any]

FIELDS = (
    "model",
    "batch",
    "parties",
    "system",
    "online_ms",
    "offline_ms",
    "dealer_ms",
    "cpu_s",
    "rounds",
    "bytes",
    "material_bytes",
    "peak_mb",
    "max_abs_error",
)
"""Of every row, in this order; null where a system has no such thing."""
SYSTEMS = ("mpc-infer/masked", "mpc-infer/crypten", "crypten", "spu/semi2k", "spu/aby3", "torch")


@dataclass(frozen=True, eq=False)
class Case:
    """One model with its weights, an input and what comes out in float64."""

    model: str
    batch: int
    graph: Graph
    weights: dict[str, Any]

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Its own inputs, if the model has some; else values near one."""
        if self.model in INPUTS:
            return INPUTS[self.model](self.batch)
        random = np.random.default_rng(self.batch)
        return {spec.name: random.normal(size=spec.with_batch(self.batch)) for spec in self.graph.inputs}

    @cached_property
    def fixed(self) -> FixedPoint:
        """How publishing would hold its numbers: for inputs below the power of two above the largest one here.

        Where that cannot be proven, as ResNet-20's range cannot, with the engine's limits.
        """
        largest = max(float(np.abs(values).max()) for values in self.inputs.values())
        try:
            return choose(self.graph, self.weights, 2 ** math.ceil(math.log2(largest))).fixed
        except ModelRefused:
            return FixedPoint()

    @cached_property
    def description(self) -> dict[str, Any]:
        """The graph as JSON has it."""
        parsed: dict[str, Any] = json.loads(self.graph.to_bytes())
        return parsed

    @cached_property
    def exact(self) -> Any:
        """The output in float64."""
        tensors = {name: torch.tensor(value) for name, value in {**self.weights, **self.inputs}.items()}
        return reference.evaluate(self.description, tensors).numpy()

    def error(self, output: Any) -> float:
        """The largest difference of an output."""
        return float(np.abs(output - self.exact).max())

    def row(self, parties: int, system: str, times: list[float], **measured: Any) -> Row:
        """A row; the online milliseconds are the median."""
        known = {"model": self.model, "batch": self.batch, "parties": parties, "system": system}
        online = {"online_ms": round(statistics.median(times), 3)}
        return {**dict.fromkeys(FIELDS), **known, **online, **measured}


def cases(names: Iterable[str]) -> list[Case]:
    """The models with each of their batches."""
    made = {name: MODELS[name]() for name in names}
    return [Case(name, batch, *made[name]) for name in made for batch in BATCHES[name]]


def in_order(rows: Iterable[Row]) -> list[Row]:
    """By model, batch, parties and system."""
    models = list(MODELS)

    def place(row: Row) -> tuple[int, int, int, int]:
        alone = row["system"] == "torch"  # behind what computes on shares
        parties = 99 if alone else row["parties"]
        return models.index(row["model"]), row["batch"], parties, SYSTEMS.index(row["system"])

    return sorted(rows, key=place)


def find(rows: Iterable[Row], **wanted: Any) -> Row | None:
    """The first row with these values."""
    return next((row for row in rows if all(row[name] == value for name, value in wanted.items())), None)
