"""The benchmark's rows, targets and page."""

import json

import pytest

from bench import report, speed
from bench.bounds import products_ms
from bench.measure import plaintext
from bench.rows import FIELDS, SYSTEMS, cases, in_order
from bench.targets import verdicts

LENET = {"model": "lenet", "batch": 1, "parties": 2}
ROWS = [
    {**LENET, "system": "spu/aby3", "parties": 3, "online_ms": 300.0, "bytes": 10**6, "cpu_s": 1.0},
    {**LENET, "system": "crypten", "online_ms": 500.0, "bytes": 3 * 10**6, "cpu_s": 1.0},
    {**LENET, "system": "mpc-infer/masked", "online_ms": 10.0, "bytes": 2 * 10**5, "cpu_s": 0.2},
    {**LENET, "system": "mpc-infer/masked", "parties": 3, "online_ms": 30.0, "bytes": 4 * 10**5, "cpu_s": 0.3},
]


def test_a_row_has_the_declared_fields_and_null_where_there_is_nothing():
    (one, _) = cases(["logreg"])
    row = plaintext(one, seconds=0.01)
    assert tuple(row) == FIELDS
    assert (row["model"], row["batch"], row["parties"], row["system"]) == ("logreg", 1, 1, "torch")
    assert row["online_ms"] > 0
    assert 0 < row["max_abs_error"] < 1e-4
    assert all(row[name] is None for name in FIELDS[5:7] + FIELDS[8:12])


def test_rows_come_by_model_rows_parties_and_system_with_torch_last():
    torch = {**LENET, "system": "torch", "parties": 1}
    ordered = in_order([torch, *ROWS])
    assert [(row["parties"], row["system"]) for row in ordered] == [
        (2, "mpc-infer/masked"),
        (2, "crypten"),
        (3, "mpc-infer/masked"),
        (3, "spu/aby3"),
        (1, "torch"),
    ]


def test_targets_are_judged_by_measured_ratios():
    found = {verdict.what: (round(verdict.measured, 3), verdict.met) for verdict in verdicts(ROWS)}
    assert found == {
        "faster than CrypTen": (50.0, True),
        "fewer bytes than CrypTen": (15.0, False),
        "faster than the best of SPU": (30.0, True),
        "of CrypTen's CPU seconds": (0.2, True),
        "slower with three parties": (3.0, False),
    }


def test_nothing_is_said_of_what_was_not_measured():
    assert verdicts([ROWS[0], ROWS[1]]) == []
    assert [verdict.what for verdict in verdicts([ROWS[2]])] == []


def test_only_a_model_with_products_has_a_floor_of_products():
    relu, logreg = cases(["relu100k"])[0], cases(["logreg"])[0]
    assert products_ms(relu) == 0
    assert products_ms(logreg) > 0


def test_the_page_says_what_was_measured():
    page = report.PAGE.read_text("utf-8")
    assert report.fill(page, json.loads(report.DATA.read_text("utf-8"))) == page


def test_a_page_without_a_place_for_a_table_is_refused():
    with pytest.raises(ValueError, match="no place for machine"):
        report.fill("# Benchmarks", {})


def test_a_later_run_replaces_what_it_measured_and_nothing_else():
    mlp, lenet, faster = {"model": "mlp", "a": 1}, {"model": "lenet", "a": 1}, {"model": "lenet", "a": 2}
    old = {"rows": [mlp, lenet], "service": {"a": 1}, "wan": {"b": 2}}
    assert report.merged(old, [{"rows": [faster], "service": None}]) == {**old, "rows": [mlp, faster]}


def test_every_system_of_the_rows_is_on_the_page():
    page = report.PAGE.read_text("utf-8")
    assert all(f"`{system}`" in page for system in SYSTEMS)
    assert all(f"| `{name}` |" in page for name in FIELDS[4:])


def test_a_model_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        speed.main(["--only", "alexnet"])
    printed = capsys.readouterr()
    assert "no such model: alexnet; there are logreg" in printed.err
    assert printed.out == ""


def test_the_service_is_judged_by_the_targets_that_it_names():
    times = {f"{name}_ms_{label}": 7.0 for name in ("end_to_end", "online", "around") for label in ("p50", "p99")}
    row = {"clients": 1, "receipts_per_s": 250.0, **times, "cpu_ms_per_receipt_total": 8.0}
    service = {"model": "digits", "parties": 3, "receipts_per_s": 250.0, "around_ms_p50": 17.0, "rows": [row]}
    service["targets"] = {"receipts_per_s": 200.0, "around_ms_p50_one_client": 15.0}
    text = report.TABLES["service"]({"service": service})
    assert "at least 200 receipts a second; measured: 250 (yes)" in text
    assert "between end to end and online; measured: 17 (**no**)" in text
    assert "| 1 | 250 | 7 / 7 | 7 / 7 | 7 / 7 | 8 |" in text
