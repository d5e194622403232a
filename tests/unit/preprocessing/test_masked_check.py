"""Plans come from outside: whatever they say, the dealer refuses them or runs them within its limits."""

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc_infer.encoding import canonical_json
from mpc_infer.engine.masked.compiler import compile_graph
from mpc_infer.errors import InvalidRequest
from mpc_infer.graph import Node
from mpc_infer.graph.functions import constant
from mpc_infer.graph.public import ALL, with_public
from mpc_infer.preprocessing import Plan, PlanLimits, corrections
from mpc_infer.preprocessing.masked_check import MAX_WINDOW, live_words, program_work
from mpc_infer.preprocessing.masked_requests import (
    FAT,
    FAT_NARROW,
    LAYOUTS,
    LEAN,
    LEAN_NARROW,
    OPERATIONS,
    MaskedRequest,
)
from mpc_infer.sharing import FixedPoint
from tests.protocol.forests import graph_of_forest, random_forest
from tests.protocol.test_masked_operators import graph_of, window

SMALL = PlanLimits(
    requests=400, request_words=1 << 15, correction_bytes=1 << 21, live_words=1 << 17, work=1 << 20, parties=3
)
FUZZ = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
EDGES = [-(2**52), -(2**31), -65, -1, 0, 1, 2, 3, 4, 5, 7, 16, 31, 32, 33, 62, 63, 64, 255, 2**16, 2**20, 2**31, 2**52]


def everything() -> list[dict]:
    """Plans, as JSON, in which every operation is used."""
    weights = {"w": np.zeros((2, 1, 2, 2)), "v": np.zeros((8, 3)), "g": np.zeros(3), "b": np.zeros(3), "m": np.ones(3)}
    last = window((2, 2), kernel=(2, 2))
    nodes = [
        Node("c", "Conv", ("x", "w"), ("c1",), window(pads=(0, 0, 1, 1), group=1)),
        Node("p", "MaxPool", ("c1",), ("p1",), last),
        Node("r", "Relu", ("p1",), ("r1",)),
        Node("f", "Flatten", ("r1",), ("f1",), {"axis": 1}),
        Node("l", "Linear", ("f1", "v", "b"), ("l1",)),
        Node("s", "Gelu", ("l1",), ("s1",)),
        Node("k", "Mul", ("s1", "m"), ("k1",)),
        Node("n", "LayerNorm", ("k1", "g", "b"), ("n1",), {"epsilon": constant(0.5)}),
        Node("t", "Reshape", ("n1",), ("t1",), {"shape": (-1, 3, 1)}),
        Node("u", "Transpose", ("t1",), ("u1",), {"perm": (0, 2, 1)}),
        Node("q", "MatMul", ("t1", "u1"), ("q1",)),
        Node("o", "Sigmoid", ("q1",), ("o1",)),
        Node("a", "ArgMax", ("o1",), ("y",)),
    ]
    graph = graph_of(nodes, {"x": (1, 4, 4)}, weights)
    trees, _ = graph_of_forest(random_forest(2, 2, 3), 3)
    programs = [
        compile_graph(each, 1, 2, FixedPoint(), lean_from=lean_from)
        for each in (graph, trees, with_public(graph, [ALL]))
        for lean_from in (1, 10**9)
    ]
    assert {request.op for program in programs for request in program.requests} == OPERATIONS.keys()
    return [json.loads(program.plan.to_bytes()) for program in programs]


PLANS = everything()


def read(value: dict) -> Plan | None:
    """The plan, if it is accepted. Nothing else than a refusal is raised."""
    try:
        return Plan.from_bytes(canonical_json(value), SMALL)
    except InvalidRequest:
        return None


def runs(plan: Plan) -> None:
    """The dealer gives as many bytes as the plan declares, within the limits."""
    assert live_words(plan.program) <= SMALL.live_words
    assert plan.work <= SMALL.work
    seeds = [bytes([party]) * plan.seed_bytes for party in range(plan.parties)]
    assert sum(map(len, corrections(seeds, plan))) == plan.correction_bytes


def test_the_plans_that_are_changed_below_run():
    for value in PLANS:
        plan = read(value)
        assert plan is not None
        runs(plan)


@FUZZ
@given(data=st.data())
def test_a_plan_with_changed_numbers_is_refused_or_runs(data):
    value = copy.deepcopy(data.draw(st.sampled_from(PLANS)))
    for _ in range(data.draw(st.integers(1, 3))):
        request = data.draw(st.sampled_from(value["requests"]))
        numbers = request[data.draw(st.integers(2, 4))]
        if numbers:
            numbers[data.draw(st.integers(0, len(numbers) - 1))] = data.draw(st.sampled_from(EDGES))
    plan = read(value)
    if plan is not None:
        runs(plan)


@FUZZ
@given(data=st.data())
def test_a_plan_with_changed_requests_is_refused_or_runs(data):
    value = copy.deepcopy(data.draw(st.sampled_from(PLANS)))
    requests = value["requests"]
    place = data.draw(st.integers(0, len(requests) - 1))
    kind = data.draw(st.sampled_from(["op", "drop", "twice", "swap", "lengthen", "cut"]))
    if kind == "op":
        requests[place][1] = data.draw(st.sampled_from(sorted(OPERATIONS)))
    elif kind == "drop":
        del requests[place]
    elif kind == "twice":
        requests.insert(place, copy.deepcopy(requests[place]))
    elif kind == "swap":
        other = data.draw(st.integers(0, len(requests) - 1))
        requests[place], requests[other] = requests[other], requests[place]
    else:
        fields = requests[place][data.draw(st.integers(2, 4))]
        fields[:] = [*fields, data.draw(st.sampled_from(EDGES))] if kind == "lengthen" else fields[:-1]
    plan = read(value)
    if plan is not None:
        runs(plan)


@FUZZ
@given(data=st.data())
def test_a_program_of_any_requests_is_refused_or_runs(data):
    small, shapes = st.integers(-3, 8), st.lists(st.integers(1, 4), max_size=4)
    requests: list[list] = [["masked", "local", [], [2, 3], [0]], ["masked", "open", [0], [2, 3], [0, 0, 64]]]
    for _ in range(data.draw(st.integers(1, 12))):
        op = data.draw(st.sampled_from(sorted(OPERATIONS)))
        count = OPERATIONS[op].reads
        inputs = st.integers(0, len(requests) - 1)
        read_from = data.draw(st.lists(inputs, min_size=len(count or "1"), max_size=len(count or "123")))
        shape = requests[read_from[0]][3] if read_from and data.draw(st.booleans()) else data.draw(shapes)
        params = OPERATIONS[op].params
        numbers = st.lists(small, min_size=params or 0, max_size=6 if params is None else params)
        candidate = [*requests, ["masked", op, read_from, list(shape), data.draw(numbers)]]
        # What is refused is left out, so that longer programs come about.
        if read({**PLANS[0], "requests": candidate}) is not None:
            requests = candidate
    plan = read({**PLANS[0], "requests": requests})
    assert plan is not None
    runs(plan)


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"requests":' + b"[" * 100_000,
        canonical_json({**PLANS[0], "requests": [["masked"]]}),
        canonical_json({**PLANS[0], "requests": [["masked", "open", [0], [1], [1.5, 0, 64]]]}),
        canonical_json({**PLANS[0], "requests": [["masked", "open", {"0": 0}, [1], [0, 0, 64]]]}),
        canonical_json({**PLANS[0], "requests": [["masked", ["open"], [0], [1], [0, 0, 64]]]}),
        canonical_json({**PLANS[0], "requests": [["masked", "local", [], [1] * 9, [0]]]}),
        canonical_json({**PLANS[0], "requests": [["masked", "local", [], [True], [0]]]}),
        canonical_json({**PLANS[0], "requests": [["masked", "local", [], [1], [0]], ["square", [1]]]}),
    ],
)
def test_what_is_no_plan_is_refused(junk):
    with pytest.raises(InvalidRequest):
        Plan.from_bytes(junk, SMALL)


def chain(*requests: MaskedRequest) -> Plan:
    return Plan("masked", bytes(32), 1, 2, 16, 0, 0, requests)


def reads_back(plan: Plan) -> Plan:
    return Plan.from_bytes(plan.to_bytes())


def opened(size: int) -> tuple[MaskedRequest, MaskedRequest]:
    return MaskedRequest("local", (), (size, 1), (0,)), MaskedRequest("open", (0,), (size, 1), (0, 0, 64))


def test_masks_that_are_all_kept_for_later_are_limited():
    # Each is small enough, none takes a correction, and together they would fill the dealer's memory.
    size = 1 << 26
    requests = [opened(size)[0], *[MaskedRequest("open", (0,), (size, 1), (0, 0, 64)) for _ in range(8)]]
    kept = MaskedRequest("sum", tuple(range(1, 9)), (size, 1), (0,) + (1,) * 8)
    with pytest.raises(InvalidRequest, match="words of masks at one time"):
        reads_back(chain(*requests, kept))
    # What is dropped as it goes is no matter.
    assert live_words(chain(*requests).program) == 2 * size
    reads_back(chain(*requests))


def test_reading_much_to_make_little_is_work():
    size = 1 << 24
    shrunk = [MaskedRequest("reduce", (1,), (1,), (0, 0)) for _ in range(5000)]
    with pytest.raises(InvalidRequest, match="multiplications"):
        reads_back(chain(*opened(size), *shrunk))
    assert program_work(chain(*opened(8), shrunk[0]).program) == 8 + 8 + 8


def patches(kernel: int, stride: int, dilation: int, pads: int, out: int, repeat: int = 1) -> Plan:
    image = [MaskedRequest("local", (), (1, 1, 1, 5), (0,)), MaskedRequest("open", (0,), (1, 1, 1, 5), (0, 0, 64))]
    params = (0, 1, kernel, 1, stride, 1, dilation, 0, pads, 1, out, repeat)
    return chain(*image, MaskedRequest("patches", (1,), (1, 1, kernel, out), params))


@pytest.mark.parametrize(
    ("plan", "fits"),
    [
        (patches(3, 1, 1, 2, 7), True),
        (patches(3, 1, 1, 3, 7), False),
        (patches(3, 1, 1, 2, 8), False),
        (patches(3, 1, 2, 4, 9), True),
        (patches(3, 1, 2, 5, 9), False),
        (patches(1 << 16, 1, 1, (1 << 16) - 1, 1), True),
        (patches(1 << 16, 1, 1, 1 << 16, 1), False),
        (patches(3, 1, MAX_WINDOW, 2 * MAX_WINDOW, 1, 0), False),
        (patches(3, 1, MAX_WINDOW, MAX_WINDOW, 1), True),
        (patches(3, 2**50, 2**50, 0, 2, 0), False),
    ],
)
def test_windows_lie_on_the_image_and_are_small(plan, fits):
    if fits:
        runs_within = reads_back(plan)
        seeds = [bytes([party]) * 64 for party in range(2)]
        assert sum(map(len, corrections(seeds, runs_within))) == plan.correction_bytes
    else:
        with pytest.raises(InvalidRequest):
            reads_back(plan)


@pytest.mark.parametrize(
    ("layout", "selection", "right"),
    [
        (LEAN, (0, LEAN, 34, 32), True),
        (LEAN, (0, LEAN, 34, 16), True),
        (LEAN, (16, LEAN, 50, 16), True),
        (FAT, (0, FAT, 64, 16), True),
        (FAT, (16, FAT, 50, 16), True),
        (FAT_NARROW, (16, FAT_NARROW, 40, 16), True),
        (LEAN_NARROW, (0, LEAN_NARROW, 26, 32), True),
        (FAT, (0, FAT, 34, 32), False),
        (FAT_NARROW, (0, FAT_NARROW, 26, 32), False),
        (FAT_NARROW, (16, FAT, 50, 16), False),
        (LEAN_NARROW, (0, LEAN, 34, 32), False),
        (LEAN, (0, 4, 34, 32), False),
        (LEAN, (0, -1, 34, 32), False),
        (LEAN, (0, LEAN, 1, 32), False),
        (LEAN, (0, LEAN, 65, 32), False),
        (LEAN, (33, LEAN, 64, 32), False),
        (LEAN, (16, LEAN, 17, 32), False),
        (LEAN, (0, LEAN, 34, 8), False),
        (LEAN, (0, FAT, 64, 16), False),
    ],
)
def test_selections_whose_numbers_do_not_fit_are_refused(layout, selection, right):
    requests = [*opened(3), MaskedRequest("compare", (1,), (3, 1), (selection[0] % 32, layout))]
    if LAYOUTS[layout].lean:
        requests.append(MaskedRequest("flip", (2,), (3, 1), (layout,)))
    plan = chain(*requests, MaskedRequest("select", (len(requests) - 1, 1), (3, 1), selection))
    if right:
        runs(reads_back(plan))
    else:
        with pytest.raises(InvalidRequest):
            reads_back(plan)
