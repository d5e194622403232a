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
from mpc_infer.graph.input_ranges import InputRange


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
    with pytest.raises(OutOfRange, match=r"'x': feature 0 of row 0 .* -99\.\d+ to 99\.\d+"):
        owner.infer("limited", {"x": np.full((1, 3), 100.0)})


@pytest.mark.usefixtures("works")
def test_a_model_that_may_leave_the_range_is_refused_before_the_chain_hears_of_it(owner: Client) -> None:
    twice = dense_onnx(((np.full((3, 2), 30_000.0), np.zeros(2)), (np.ones((2, 1)), np.zeros(1))), "heavy")
    with pytest.raises(ModelRefused, match="'relu0'"):
        owner.publish(twice, "heavy", 1, input_limit=2**15)
    with pytest.raises(ModelNotFound):
        owner.infer("heavy", {"x": np.ones((1, 3))})
    assert owner.publish(heavy(30_000.0), "heavy", 1).manifest.input_limit == 2**13


@pytest.mark.usefixtures("works")
def test_a_model_with_fewer_fractional_bits_and_a_range_for_every_feature(owner: Client) -> None:
    """What is compared may reach 10^6: 16 bits before the point do not hold it, 20 do, and leave 12 behind it."""
    layers = ((np.full((3, 2), 100.0), np.array([1.5, -1.5])), (np.array([[0.01], [-0.25]]), np.array([7.0])))
    sides = InputRange(np.array([-5000.0, 0.0, -0.5]), np.array([5000.0, 4990.0, 0.5]))
    published = owner.publish(dense_onnx(layers, "tall"), "tall", 1, ranges={"x": sides})
    manifest, (bound,) = published.manifest, published.manifest.error_bounds
    assert (manifest.frac_bits, manifest.input_limit) == (12, 5001)
    rows = np.array([[5000.0, 4990.0, 0.5], [-5000.0, 0.0, -0.5], [12.25, 0.125, 0.25]])
    (first, bias), (second, last) = layers
    real = np.maximum(rows @ first + bias, 0.0) @ second + last
    for delivery in ("coordinator", "client"):
        result = owner.infer("tall", {"x": rows}, delivery=delivery)
        assert bound is not None
        assert np.abs(result.outputs["logits"] - real).max() <= bound * 2.0**-12
    with pytest.raises(OutOfRange, match="feature 1 of row 1 "):
        owner.infer("tall", {"x": [[0.0, 0.0, 0.0], [0.0, -1.0, 0.0]]})
    assert result.model_hash == published.model_hash
