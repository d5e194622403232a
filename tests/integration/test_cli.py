"""The commands that need a network, as an operator, an owner, a user and an auditor type them."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mpc_infer import Client
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import DATA_OWNER, OWNER
from mpc_infer.devnet.onnx_export import dense_onnx
from mpc_infer.devnet.training import TrainedModel
from mpc_infer.evidence.bundle import Bundle, Contracts
from mpc_infer.ids import Address

NAME = "typed"
SECONDS = 120


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mpc_infer.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def answer(*arguments: object) -> dict[str, object]:
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file, and beside it what its owner says of its inputs."""
    file = tmp_path_factory.mktemp("model") / "model.onnx"
    file.write_bytes(dense_onnx(((np.array([[1.0, -2.0], [0.5, 4.0]]), np.array([0.25, 0.0])),), NAME))
    file.with_name("ranges.json").write_text('{"x": {"low": [-100, 0], "high": [100, 8]}}')
    return file


@pytest.fixture(scope="module")
def typed(net: Devnet, source: Path) -> dict[str, object]:
    """A model published by the command."""
    ranges, openings = source.with_name("ranges.json"), source.with_name("openings")
    said = ("--ranges", ranges, "--keep-openings", openings)
    return answer("model", "publish", source, "--name", NAME, "--public", *said, "--config", net.client(OWNER))


@pytest.fixture(scope="module")
def kept(net: Devnet, typed: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result and its receipt, as the command leaves them."""
    directory = tmp_path_factory.mktemp("inference")
    (directory / "rows.csv").write_text("1,2\n-3,0.5\n")
    files = ["--output", directory / "logits", "--receipt", directory / "receipt.json"]
    told = answer("infer", NAME, directory / "rows.csv", *files, "--config", net.client(DATA_OWNER))
    assert told["model_hash"] == typed["model_hash"]
    assert np.abs(np.array(told["outputs"]["logits"]) - expected()).max() < 1e-3  # type: ignore[index]
    return directory


def expected() -> np.ndarray:
    return np.array([[1.0, 2.0], [-3.0, 0.5]]) @ np.array([[1.0, -2.0], [0.5, 4.0]]) + np.array([0.25, 0.0])


def test_every_role_says_that_it_serves(net: Devnet) -> None:
    for name, kind in [("party0", "party"), ("dealer", "dealer"), ("coordinator", "coordinator")]:
        assert answer(kind, "health", "--config", net.layout.config(name))["serving"] is True
    chain = answer("chain", "health", "--config", net.layout.config("chain"))
    assert chain["serving"] is True
    assert int(str(chain["block"])) > 0


def test_contracts_are_deployed_once(net: Devnet) -> None:
    told = answer("devnet", "contracts", net.layout.root)
    assert told["party_set"] == net.network.party_set
    assert told["contracts"] == dataclasses.asdict(net.network.contracts)


def test_a_did_names_the_chain_that_answers(net: Devnet) -> None:
    shown = answer("client", "show", "--config", net.client(DATA_OWNER))
    assert shown["did"] == f"did:ethr:0x7a69:{shown['address']}"


def test_models_are_listed_and_shown(net: Devnet, typed: dict[str, object]) -> None:
    assert set(typed["transactions"]) == {"propose", "stage", "activate", "public"}  # type: ignore[call-overload]
    listed = answer("model", "list", "--config", net.client(DATA_OWNER))["models"]
    assert [each["model_hash"] for each in listed if each["name"] == NAME] == [typed["model_hash"]]  # type: ignore[attr-defined]
    (shown,) = answer("model", "show", NAME, "--config", net.client(DATA_OWNER))["versions"]  # type: ignore[misc]
    assert (shown["version"], shown["inputs"]) == (1, {"x": "[rows, 2]"})
    assert (shown["status"], shown["public"], len(shown["members"])) == ("active", True, 3)
    assert shown["input_ranges"] == {"x": {"low": -100.0, "high": 100.0, "ranges": 2}}
    lines = run("model", "show", NAME, "--config", net.client(DATA_OWNER)).stdout
    assert str(typed["model_hash"]) in lines
    for line in ("version      1", "status       active", "frac bits    16", "calibration  none", "public       yes"):
        assert line in lines
    missing = run("model", "show", "no-such-model", "--config", net.client(DATA_OWNER))
    assert missing.returncode == 4
    assert "MODEL_NOT_FOUND" in missing.stderr


def test_a_file_is_what_was_published(net: Devnet, typed: dict[str, object], source: Path) -> None:
    config = ("--config", net.client(OWNER))
    openings = source.with_name("openings")
    assert [path.stat().st_mode & 0o077 for path in (openings, *openings.iterdir())] == [0] * 4
    told = answer("model", "verify", NAME, source, "--openings", openings, *config)
    assert (told["model_hash"], told["weights"], len(told["steps"])) == (typed["model_hash"], "the same", 4)  # type: ignore[arg-type]
    other = source.with_name("other.onnx")
    other.write_bytes(dense_onnx(((np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([0.25, 0.0])),), NAME))
    refused = run("model", "verify", NAME, other, "--openings", openings, *config)
    assert (refused.returncode, "MODEL_SHARE_MISMATCH" in refused.stderr) == (5, True)


def test_a_file_that_was_published_with_ceilings_is_known_again_by_them(net: Devnet, source: Path) -> None:
    file, config = source.with_name("high.onnx"), ("--config", net.client(OWNER))
    wide, narrow = np.array([[40.0, -20.0], [30.0, 10.0]]), np.array([[0.25], [0.5]])
    file.write_bytes(dense_onnx(((wide, np.zeros(2)), (narrow, np.zeros(1))), "high"))
    np.save(file.with_suffix(".npy"), np.array([[-40.0, -40.0], [40.0, 40.0]]))
    said = ("--calibrate", file.with_suffix(".npy"), "--ceilings")
    told = answer("model", "publish", file, "--name", "high", *said, *config)
    ((node, height),) = told["ceilings"].items()  # type: ignore[attr-defined]
    assert height == 16384
    refused = run("model", "verify", "high", file, *config)
    assert refused.returncode != 0
    found = answer("model", "verify", "high", file, "--ceiling", f"{node}={height}", *config)
    assert found["model_hash"] == told["model_hash"]


def test_a_result_is_for_its_owner_and_lies_where_it_was_asked_for(kept: Path) -> None:
    assert (kept / "logits").stat().st_mode & 0o077 == 0
    assert np.abs(np.load(kept / "logits") - expected()).max() < 1e-3
    assert sorted(path.name for path in kept.iterdir()) == ["logits", "receipt.json", "rows.csv"]


def test_rows_that_do_not_fit_are_refused(net: Devnet, typed: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1,2,3\n")
    done = run("infer", NAME, tmp_path / "rows.csv", "--config", net.client(DATA_OWNER), "--json")
    assert done.returncode == 3
    assert json.loads(done.stderr.splitlines()[-1])["error"]["code"] == "WRONG_SHAPE"


def test_a_receipt_is_verified_by_anyone_who_knows_the_contracts(net: Devnet, kept: Path) -> None:
    file, contracts = kept / "receipt.json", net.network.contracts
    named = (contracts.party_registry, contracts.model_registry, contracts.receipt_anchor)
    for trusted in (["--config", net.client(OWNER)], ["--rpc", net.rpc_url, "--contracts", *named]):
        told = answer("receipt", "verify", file, *trusted)
        assert (told["verified"], told["against"], len(told["steps"])) == (True, "chain", 7)  # type: ignore[arg-type]
    assert "verified: job" in run("receipt", "verify", file, "--config", net.client(OWNER)).stdout
    assert answer("receipt", "show", file)["receipt_anchor"] == contracts.receipt_anchor


def test_a_receipt_does_not_say_whom_to_believe(net: Devnet, kept: Path) -> None:
    done = run("receipt", "verify", kept / "receipt.json", "--rpc", net.rpc_url)
    assert done.returncode == 2
    assert "whom to believe" in done.stderr


def test_a_forged_bundle_with_contracts_of_its_own_is_refused(net: Devnet, kept: Path, tmp_path: Path) -> None:
    """The contracts are the verifier's, so that a bundle that names others is none of this network's."""
    bundle = Bundle.load(kept / "receipt.json")
    own = Contracts(*(Address("0x" + digit * 40) for digit in "123"))
    dataclasses.replace(bundle, contracts=own).save(tmp_path / "forged.json")
    done = run("receipt", "verify", tmp_path / "forged.json", "--config", net.client(DATA_OWNER))
    assert done.returncode == 7
    assert "RECEIPT_PARTY_SET_INVALID" in done.stderr


@pytest.mark.slow
def test_a_model_whose_weights_are_public(net: Devnet, source: Path, tmp_path: Path) -> None:
    config, name = ("--config", net.client(OWNER)), "known"
    ranges = ("--ranges", source.with_name("ranges.json"))
    told = answer("model", "publish", source, "--name", name, "--public", "--public-weights", *ranges, *config)
    assert (len(told["public_weights"]), told["secret_weights"]) == (2, [])  # type: ignore[arg-type]
    (shown,) = answer("model", "show", name, *config)["versions"]  # type: ignore[misc]
    assert shown["public_digest"] == told["public_digest"]
    assert "weights public" in run("model", "list", *config).stdout
    verified = answer("model", "verify", name, source, *config)
    assert (verified["weights"], len(verified["steps"])) == ("the same", 3)  # type: ignore[arg-type]
    other = tmp_path / "other.onnx"
    other.write_bytes(dense_onnx(((np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([0.25, 0.0])),), NAME))
    refused = run("model", "verify", name, other, *config)
    assert (refused.returncode, "MODEL_SHARE_MISMATCH" in refused.stderr) == (5, True)
    (tmp_path / "rows.csv").write_text("1,2\n-3,0.5\n")
    receipt, client = tmp_path / "receipt.json", ("--config", net.client(DATA_OWNER))
    done = answer("infer", name, tmp_path / "rows.csv", "--receipt", receipt, *client)
    assert done["model_hash"] == told["model_hash"]
    assert np.abs(np.array(done["outputs"]["logits"]) - expected()).max() < 1e-3  # type: ignore[index]
    assert "verified: job" in run("receipt", "verify", receipt, *client).stdout


def test_the_demo_on_a_network_that_runs(net: Devnet, published: dict[str, TrainedModel], tmp_path: Path) -> None:
    """As against containers: nothing is there but the clients' files, and models of these names exist already."""
    (tmp_path / "clients").symlink_to(net.layout.root / "clients")
    done = run("demo", "--network", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["parties"], report["engine"]) == (3, "masked")
    assert all(model["receipts"] == model["receipts_verified"] > 0 for model in report["models"])
    how = done.stderr.splitlines()[-1].partition("mpc-infer ")[2].split()
    assert answer(*how)["verified"] is True
    offline = next((tmp_path / "receipts").glob("*.json"))
    assert answer("receipt", "verify", offline, "--offline", tmp_path / "facts.json")["against"] == "recorded facts"
    with Client(net.client(OWNER)) as owner:
        assert max(manifest.version for manifest in owner.models("digits")) == 2
