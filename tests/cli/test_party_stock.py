"""`mpc-infer party stock`: beside a party that holds its database open, and without one."""

import json
from pathlib import Path

import pytest

from mpc_infer.ids import MaterialId, ModelHash
from mpc_infer.party.config import PartyConfig
from mpc_infer.store import MaterialRecord, PartyStore
from tests.cli.test_commands import run

UNKNOWN = ModelHash(b"u" * 32)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("stock") / "net"
    assert run("devnet", "init", str(directory), "--parties", "2").returncode == 0
    return directory / "party0" / "party.toml"


def record(number: int, model: ModelHash, rows: int) -> MaterialRecord:
    return MaterialRecord(MaterialId(bytes([number]) * 16), 0, model, b"o" * 32, b"p" * 32, rows, 1024 * number)


def test_the_stock_of_a_party(config: Path) -> None:
    done = run("party", "stock", "--config", str(config))
    assert done.returncode == 1
    assert "STORE_ERROR" in done.stderr
    store = PartyStore(PartyConfig.load(config).party.database, bytes(32))
    assert "no material" in run("party", "stock", "--config", str(config)).stdout
    store.material.add([record(1, UNKNOWN, 1), record(2, UNKNOWN, 1), record(3, UNKNOWN, 64)], 1_700_000_000_000)
    store.material.consume(record(1, UNKNOWN, 1).material_id, 1_700_000_100_000)
    beside = run("party", "stock", "--config", str(config), "--json")
    store.close()
    assert json.loads(beside.stdout) == {
        "stock": [
            {
                "model": "0x" + UNKNOWN.hex(),
                "name": UNKNOWN[:4].hex(),
                "rows": 1,
                "ready": 1,
                "ready_bytes": 2048,
                "oldest": "2023-11-14T22:13:20+00:00",
                "consumed_today": 0,
                "consumed": 1,
                "dropped": 0,
            },
            {
                "model": "0x" + UNKNOWN.hex(),
                "name": UNKNOWN[:4].hex(),
                "rows": 64,
                "ready": 1,
                "ready_bytes": 3072,
                "oldest": "2023-11-14T22:13:20+00:00",
                "consumed_today": 0,
                "consumed": 0,
                "dropped": 0,
            },
        ]
    }
    assert run("party", "stock", "--config", str(config), "--json").stdout == beside.stdout
    shown = run("party", "stock", "--config", str(config)).stdout
    assert all(text in shown for text in (UNKNOWN[:4].hex(), "2.0 KiB", "3.0 KiB"))
