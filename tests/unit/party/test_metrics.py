"""What Prometheus reads of a party: the stock, now, and nothing else."""

import dataclasses
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mpc_infer.errors import ConfigError
from mpc_infer.ids import MaterialId, ModelHash
from mpc_infer.party.metrics import MetricsServer, StockCollector
from mpc_infer.party.server import _start_metrics
from mpc_infer.party.stock_report import stock_report
from mpc_infer.store import MaterialRecord, PartyStore

MODEL = ModelHash(b"m" * 32)
LABELS = {"model": MODEL.hex(), "name": MODEL[:4].hex(), "rows": "4"}


def record(number: int) -> MaterialRecord:
    return MaterialRecord(MaterialId(bytes([number]) * 16), 0, MODEL, b"o" * 32, b"p" * 32, 4, 100)


def samples(server: MetricsServer) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=20) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    found = [sample for family in families for sample in family.samples]
    assert all(sample.labels == LABELS for sample in found)
    return {sample.name.removeprefix("mpc_infer_material_"): sample.value for sample in found}


def test_the_stock_is_shown_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "party.sqlite"
    store = PartyStore(path, bytes(32))
    server = _start_metrics("127.0.0.1:0", path)
    assert samples(server) == {}
    store.material.add([record(number) for number in range(4)], 7000)
    store.material.consume(record(0).material_id, 8000)
    store.material.drop([record(1).material_id], 8000)
    expected = {"ready": 2, "ready_bytes": 200, "oldest_seconds": 7, "consumed_total": 1, "dropped_total": 1}
    assert samples(server) == expected
    store.close()
    assert samples(server) == expected
    server.close()


def test_a_ledger_that_cannot_be_read_fails_the_request_and_no_more(tmp_path: Path, capfd) -> None:
    server = _start_metrics("127.0.0.1:0", tmp_path / "missing.sqlite")
    with pytest.raises(urllib.error.HTTPError):
        samples(server)
    PartyStore(tmp_path / "missing.sqlite", bytes(32)).close()
    assert samples(server) == {}
    server.close()
    assert "Traceback" not in capfd.readouterr().err


def test_a_port_that_is_taken_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    server = MetricsServer("127.0.0.1", 0, StockCollector(list))
    with pytest.raises(ConfigError):
        MetricsServer("127.0.0.1", server.port, StockCollector(list))
    server.start()
    server.close()


async def test_models_are_shown_by_their_names(party, world) -> None:
    one = dataclasses.replace(record(1), model_hash=world.model_hash)
    party.store.material.add([one], 7000)
    assert [line.name for line in stock_report(world.config(0).party.database, datetime.now(UTC))] == ["test v1"]


def test_there_are_none_unless_they_are_asked_for(world) -> None:
    assert world.config(0).metrics is None
