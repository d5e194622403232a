"""What the demo prints."""

import pytest

from mpc_infer.devnet.report import AnchorRun, ModelRun, Report, print_report

RUN = ModelRun(
    name="breast-cancer",
    title="ReLU, 64-64-32-10",
    model_hash="ab" * 32,
    rows=10_000,
    accuracy_plain=1.0,
    accuracy_private=1.0,
    max_abs_error=1e-4,
    online_ms_p50=12_345.6,
    end_to_end_ms_p50=12_345.6,
    rounds=100,
    bytes_per_party=123_456_789,
    receipts=100,
    receipts_verified=100,
)


def test_it_fits_into_80_columns_with_every_transaction_in_full(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    transactions = ["0x" + f"{index:02x}" * 32 for index in range(3)]
    anchors = tuple(AnchorRun("cd" * 32, transaction, 1_077_588, 100) for transaction in transactions)
    print_report(Report(5, "crypten", 1.5, (RUN, RUN), anchors))
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert [line.split()[-1] for line in lines[-3:]] == transactions
    assert "100 of 100" in "".join(lines)
    assert "…" not in "".join(lines)
