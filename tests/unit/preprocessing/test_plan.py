"""The plan's bytes: one form, read strictly, within limits."""

import json

import pytest

from mpc_infer.encoding import canonical_json
from mpc_infer.errors import InvalidRequest, MessageTooLarge
from mpc_infer.preprocessing import BinaryProduct, Plan, PlanLimits, Product, RandomBit, Square, Truncation

REQUESTS = (
    Product("matmul", (4, 3), (3, 2)),
    Product("mul", (4, 1), (5,)),
    Square((7,)),
    BinaryProduct((2, 4)),
    RandomBit((65,)),
    Truncation((4, 2), 16),
)
PLAN = Plan("crypten", bytes(32), 4, 3, 16, 9, 1000, REQUESTS)


def changed(**fields):
    value = json.loads(PLAN.to_bytes())
    value.update(fields)
    return canonical_json(value)


def test_round_trip_keeps_everything():
    assert Plan.from_bytes(PLAN.to_bytes()) == PLAN
    assert Plan.from_bytes(PLAN.to_bytes()).digest == PLAN.digest


def test_declared_bytes():
    corrected = 4 * 2 + 4 * 5 + 7 + 2 * 4 + 65 + 2 * 4 * 2
    drawn = (12 + 6) + (4 + 5) + 7 + 2 * 8 + 2 + 8
    assert PLAN.correction_bytes == 8 * corrected + 32
    assert PLAN.material_bytes == 8 * (corrected + drawn)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", "mpc-infer/plan/v2"),
        ("engine", ""),
        ("engine", "x" * 33),
        ("engine", 3),
        ("graph", "00"),
        ("graph", "zz" * 32),
        ("batch", 0),
        ("batch", True),
        ("batch", 1.5),
        ("parties", 1),
        ("frac_bits", 32),
        ("rounds", -1),
        ("bytes_sent", "1"),
        ("requests", {}),
        ("requests", [["wraps", [2]]]),
        ("requests", [["square"]]),
        ("requests", [["square", [2], 1]]),
        ("requests", [["square", [0]]]),
        ("requests", [["square", [-1]]]),
        ("requests", [["square", [True]]]),
        ("requests", [["square", [1] * 7]]),
        ("requests", [["product", "conv2d", [2, 2], [2, 2]]]),
        ("requests", [["product", "matmul", [2, 3], [2, 3]]]),
        ("requests", [["product", "matmul", [3], [3, 3]]]),
        ("requests", [["product", "mul", [2], [3]]]),
        ("requests", [["truncation", [2], 0]]),
        ("requests", [["truncation", [2], 63]]),
        ("requests", [[["square"], [2]]]),
        ("requests", ["square"]),
    ],
)
def test_anything_else_is_refused(field, value):
    with pytest.raises(InvalidRequest):
        Plan.from_bytes(changed(**{field: value}))


def test_a_plan_may_need_nothing():
    assert Plan.from_bytes(changed(requests=[])).correction_bytes == 32


def test_unknown_and_missing_fields_are_refused():
    with pytest.raises(InvalidRequest):
        Plan.from_bytes(changed(extra=1))
    value = json.loads(PLAN.to_bytes())
    del value["rounds"]
    with pytest.raises(InvalidRequest):
        Plan.from_bytes(canonical_json(value))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_garbage_is_refused(data):
    with pytest.raises(InvalidRequest):
        Plan.from_bytes(data)


def test_other_spellings_of_the_same_plan_are_refused():
    with pytest.raises(InvalidRequest, match="canonical"):
        Plan.from_bytes(PLAN.to_bytes() + b" ")


def test_a_long_plan_is_refused_unread():
    with pytest.raises(MessageTooLarge):
        Plan.from_bytes(b" " * ((1 << 20) + 1))


@pytest.mark.parametrize(
    "limits",
    [
        PlanLimits(requests=5),
        PlanLimits(request_words=17),
        PlanLimits(correction_bytes=900),
        PlanLimits(work=60),
        PlanLimits(parties=2),
    ],
)
def test_limits(limits):
    Plan.from_bytes(PLAN.to_bytes())
    with pytest.raises(InvalidRequest, match="limit"):
        Plan.from_bytes(PLAN.to_bytes(), limits)


def test_default_limits_stop_a_plan_that_would_take_all_memory():
    with pytest.raises(InvalidRequest, match="limit"):
        Plan.from_bytes(changed(requests=[["product", "mul", [2**20, 1], [1, 2**20]]]))
    with pytest.raises(InvalidRequest, match="limit"):
        Plan.from_bytes(changed(requests=[["product", "matmul", [2**13, 2**14], [2**14, 2**14]]]))


def test_every_field_changes_the_digest():
    digests = {Plan.from_bytes(changed(**{field: value})).digest for field, value in (
        ("engine", "masked"), ("graph", "11" * 32), ("batch", 5), ("parties", 2), ("frac_bits", 15),
        ("rounds", 8), ("bytes_sent", 8), ("requests", [["square", [7]]]),
    )}  # fmt: skip
    assert len(digests | {PLAN.digest}) == 9
