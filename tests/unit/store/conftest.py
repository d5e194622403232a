"""Stores on real files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mpc_infer.store import CoordinatorStore, PartyStore

KEY = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "role.db"


@pytest.fixture
def party(path: Path) -> Iterator[PartyStore]:
    store = PartyStore(path, KEY)
    yield store
    store.close()


@pytest.fixture
def coordinator(path: Path) -> Iterator[CoordinatorStore]:
    store = CoordinatorStore(path, KEY)
    yield store
    store.close()
