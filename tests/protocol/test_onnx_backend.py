"""ONNX's own test cases: docs/onnx_backend.md says what becomes of each, and is what happens."""

import re
from collections import Counter
from pathlib import Path

import pytest

from mpc_infer.graph.public import ALL, with_public
from tests.protocol import onnx_page
from tests.protocol.masked_parties import evaluate
from tests.protocol.onnx_cases import CLAIMED
from tests.protocol.onnx_page import lines, on, page

PAGE = (Path(__file__).parents[2] / "docs" / "onnx_backend.md").read_text("utf-8")
ROWS = re.findall(r"^\| `([\w.]+)` \| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)
FAST = ["ArgMax", "Clip", "Gemm", "LeakyRelu", "Slice", "Where"]
CRYPTEN = re.compile(r", crypten\b|; crypten refuses: [^|]+(?= \|)")
"""What needs processes is left to the slow test."""


@pytest.mark.parametrize("operator", FAST)
def test_some_operators(operator):
    expected = [CRYPTEN.sub("", row) for row in PAGE.splitlines() if row.startswith(f"| `{operator}` |")]
    assert expected
    assert list(lines([operator], None)) == expected


def test_no_case_is_left_out_without_a_reason():
    assert {operator for operator, _, _ in ROWS} <= set(CLAIMED)
    for _, name, result in ROWS:
        assert re.match(r"(plain, masked(, crypten)? \(\w)|(does not apply: \S.{10,})", result), name


def test_the_sum_at_the_end():
    count = Counter(result.startswith("does not apply") for _, _, result in ROWS)
    assert f"{count[False]} cases pass, {count[True]} do not apply." in PAGE


@pytest.mark.slow
def test_all_cases_pass_with_public_weights(monkeypatch):
    def masked(model, inputs):
        ran.append(len(model.weights))
        return onnx_page.decoded(evaluate(with_public(model.graph, [ALL]), model.weights, inputs, 3).ring)

    ran: list[int] = []
    monkeypatch.setattr(onnx_page, "masked", masked)
    found = list(lines(CLAIMED, None))
    assert sum(count > 0 for count in ran) > 700
    assert found == [CRYPTEN.sub("", row) for row in PAGE.splitlines() if row.startswith("| `") and "` | `" in row]


@pytest.mark.slow
def test_the_whole_page(fleets):
    assert page(on(fleets(2))) == PAGE
