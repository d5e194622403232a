"""What a session held is free when it is over, without the collector."""

import gc
import weakref

import numpy as np

from bench.graphs import transformer
from mpc_infer.engine.masked import MaskedEngine
from mpc_infer.engine.masked.model import open_model
from mpc_infer.preprocessing import expand, read_corrections
from tests.protocol.masked_parties import Table, ThreadLink, deal


def test_a_prepared_session_is_freed_with_its_material() -> None:
    graph, weights = transformer(8, 2, 4, 8)
    engine = MaskedEngine()
    plan, program = engine.plan(graph, 1, 2), engine.program(graph, 1, 2)
    seeds, answer = deal(plan, 2)
    zeros = {name: np.zeros(value.shape, dtype=np.uint64) for name, value in weights.items()}
    model = open_model(program, zeros, seeds[1][32:], _Alone())
    material = expand(seeds[1], plan, 1, bytes(16), read_corrections([answer], plan))
    engine.prepare(graph, model, material, 1)
    material.start()
    session = weakref.ref(material.take_prepared())
    gc.disable()
    try:
        material.discard()
        assert session() is None
    finally:
        gc.enable()


class _Alone(ThreadLink):
    """A link on which the other party sends zeros."""

    def __init__(self) -> None:
        super().__init__(Table(2), 1)

    def exchange(self, array: np.ndarray, meanwhile: object = None) -> list[np.ndarray]:
        return [np.zeros_like(array), array]

    def exchange_bytes(self, messages: list[bytes], *, max_bytes: int) -> list[bytes]:
        return messages
