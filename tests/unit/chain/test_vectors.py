"""The committed vectors are what the code says, so Solidity and other languages are checked against this code."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

VECTORS = Path(__file__).resolve().parents[2] / "vectors"


def make_vectors() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_vectors", VECTORS / "make_vectors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["eip712.json", "rfc9162.json"])
def test_the_vectors_are_up_to_date(name: str) -> None:
    assert make_vectors().files()[name] == (VECTORS / name).read_text()
