"""A model's input limit: declared by its owner, judged against the weights, enforced before anything is sent."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mpc_infer import Client
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import OWNER
from mpc_infer.devnet.onnx_export import dense_onnx
from mpc_infer.errors import ModelNotFound, ModelRefused, OutOfRange


def heavy(scale: float) -> bytes:
    return dense_onnx(((np.full((3, 2), scale), np.zeros(2)),), "heavy")


def publish(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mpc_infer.cli", "model", "publish", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.usefixtures("works")
def test_the_command_publishes_with_a_limit_that_the_sdk_keeps(net: Devnet, owner: Client, tmp_path: Path) -> None:
    file, config = tmp_path / "heavy.onnx", str(net.client(OWNER))
    file.write_bytes(heavy(2.0))
    common = (str(file), "--name", "limited", "--config", config)
    assert publish(*common, "--input-limit", "40000").returncode == 2
    done = publish(*common, "--input-limit", "100", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["input_limit"] == 100
    assert np.allclose(owner.infer("limited", {"x": np.full((1, 3), -99.5)}).outputs["logits"], -597.0, atol=1e-3)
    with pytest.raises(OutOfRange, match=r"'x'.*-100 and 100"):
        owner.infer("limited", {"x": np.full((1, 3), 100.0)})


@pytest.mark.usefixtures("works")
def test_a_model_that_may_leave_the_range_is_refused_before_the_chain_hears_of_it(owner: Client) -> None:
    with pytest.raises(ModelRefused, match="'dense0'"):
        owner.publish(heavy(30_000.0), "heavy", 1, input_limit=2**15)
    with pytest.raises(ModelNotFound):
        owner.infer("heavy", {"x": np.ones((1, 3))})
    assert owner.publish(heavy(30_000.0), "heavy", 1).manifest.input_limit == 2**13
