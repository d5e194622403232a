"""docs/examples.md runs. Its torch network and its sentence encoder: tests/models."""

import pytest

from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import DATA_OWNER, OWNER
from tests.pages import run_section


def test_a_scikit_learn_pipeline(net: Devnet, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {net.client(name).exists() for name in (OWNER, DATA_OWNER)} == {True}
    monkeypatch.chdir(net.layout.root.parent)
    found = run_section("examples.md", "A scikit-learn pipeline")
    assert found["right"] > 0.93
    assert found["deviation"] < 3e-3
