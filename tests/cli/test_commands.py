"""Commands in processes of their own: what they print, where, and how they end."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from mpc_infer.cli.infer import save_result
from mpc_infer.cli.rows import read_rows
from mpc_infer.errors import InvalidInput, StoreError


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mpc_infer.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cli") / "net"
    done = run("devnet", "init", str(directory), "--parties", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["parties"] == 2
    return directory


def test_the_help_names_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    for name in ("demo", "devnet", "model", "infer", "receipt", "client", "party", "dealer", "coordinator", "chain"):
        assert name in done.stdout
        assert run(name, "--help").returncode == 0


def test_all_files_of_a_network_are_private(net: Path) -> None:
    for path in [net, *net.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_second_network_in_the_same_place_is_refused(net: Path) -> None:
    done = run("devnet", "init", str(net))
    assert done.returncode == 3
    assert "CONFIG_ERROR" in done.stderr
    assert "what to do:" in done.stderr
    assert "Traceback" not in done.stderr


def test_networks_for_containers_name_their_hosts(tmp_path: Path) -> None:
    assert run("devnet", "init", str(tmp_path / "net"), "--hosts", "compose").returncode == 0
    party = tomllib.loads((tmp_path / "net" / "party0" / "party.toml").read_text())
    assert party["peers"][0]["lanes"] == ["party1:7200"]
    assert party["chain"]["rpc_url"] == "http://chain:8545"
    client = tomllib.loads((tmp_path / "net" / "clients" / "data-owner" / "client.toml").read_text())
    assert client["client"]["coordinator"] == "127.0.0.1:7000"


def test_a_client_is_made_and_shown(net: Path) -> None:
    made = json.loads(run("client", "init", "bob", "--network", str(net), "--json").stdout)
    done = run("client", "show", "--config", made["config"], "--json")
    shown = json.loads(done.stdout)
    assert shown["address"] == made["address"]
    # Its chain does not run: nobody knows its number, and none is made up.
    assert shown["did"] is None
    assert "does not answer" in done.stderr
    assert run("client", "init", "bob", "--network", str(net)).returncode != 0


def test_errors_are_json_where_that_is_asked_for(tmp_path: Path) -> None:
    done = run("client", "init", "bob", "--network", str(tmp_path), "--json")
    assert done.returncode == 3
    assert json.loads(done.stderr)["error"]["code"] == "CONFIG_ERROR"
    assert done.stdout == ""


@pytest.mark.parametrize("role", ["party", "dealer", "coordinator", "chain"])
def test_a_role_says_what_is_wrong_with_its_configuration(role: str, tmp_path: Path) -> None:
    file = tmp_path / "role.toml"
    file.write_text(f"[{role}]\nlisten = 7\n")
    done = run(role, "serve", "--config", str(file))
    assert done.returncode == 3
    assert "CONFIG_ERROR" in done.stderr


def test_a_chain_that_does_not_answer_is_an_error_of_its_own(net: Path) -> None:
    done = run("devnet", "contracts", str(net))
    assert done.returncode == 8, done.stderr
    assert "CHAIN_UNAVAILABLE" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("content", ["{}", "not json", ""])
def test_a_file_that_is_no_receipt(tmp_path: Path, content: str) -> None:
    file = tmp_path / "receipt.json"
    file.write_text(content)
    assert run("receipt", "show", str(file)).returncode == 5


def test_rows_are_read_from_csv_and_npy(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1,2.5\n-3,4e1\n")
    assert read_rows(tmp_path / "rows.csv").tolist() == [[1, 2.5], [-3, 40]]
    np.save(tmp_path / "rows.npy", np.arange(6).reshape(2, 3))
    assert read_rows(tmp_path / "rows.npy").shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", b"1,x\n"), ("a.csv", b""), ("a.npy", b"junk"), ("a.txt", b"1")]
)
def test_rows_that_cannot_be_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput):
        read_rows(tmp_path / name)


def test_an_error_names_a_cell_but_does_not_quote_it(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1,2\n3,31.41592 grams\n")
    with pytest.raises(InvalidInput, match="row 2, column 2") as caught:
        read_rows(tmp_path / "rows.csv")
    assert "31.41592" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--parties", "1"),
        ("demo", "--parties", "6"),
        ("demo", "--lanes", "0"),
        ("devnet", "init", "net", "--lanes", "9"),
        ("devnet", "up", "net", "--parties", "-3"),
    ],
)
def test_sizes_out_of_range_are_a_matter_of_usage(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run(*(str(tmp_path / each) if each == "net" else each for each in arguments))
    assert done.returncode == 2
    assert "is not in the range" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_written_for_its_owner_alone_and_where_that_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "answer"
    path.touch(mode=0o644)
    save_result(np.arange(6.0).reshape(2, 3), path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert np.load(path).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(StoreError, match="cannot be written"):
        save_result(np.zeros(1), tmp_path / "missing" / "answer")


@pytest.mark.parametrize(
    "command", [("devnet", "up"), ("devnet", "contracts"), ("party", "health"), ("chain", "health")]
)
def test_whatever_answers_does_so_in_json_too(command: tuple[str, str]) -> None:
    assert "--json" in run(*command, "--help").stdout


def test_pickled_rows_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.array([object()], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidInput):
        read_rows(tmp_path / "rows.npy")
