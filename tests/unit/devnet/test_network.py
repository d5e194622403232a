import json
from pathlib import Path

import pytest

from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import initialise, load
from mpc_infer.devnet.layout import Layout
from mpc_infer.devnet.membership import add_client, load_authority
from mpc_infer.devnet.predict import contract_address
from mpc_infer.devnet.report import AnchorRun, ModelRun, Report, print_report
from mpc_infer.devnet.topology import loopback
from mpc_infer.errors import ConfigError, StoreError
from mpc_infer.identity import Keystore
from mpc_infer.ids import Address
from mpc_infer.party.config import PartyConfig


@pytest.mark.parametrize(
    ("nonce", "address"),
    [
        (0, "0xcd234A471b72ba2F1Ccf0A70FCABA648a5eeCD8d"),
        (1, "0x343c43A37D37dfF08AE8C4A11544c718AbB4fCF8"),
        (2, "0xf778B86FA74E846c4f0a1fBd1335FE81c00a0C91"),
    ],
)
def test_addresses_of_contracts_are_known_beforehand(nonce: int, address: str) -> None:
    # Vectors from https://ethereum.stackexchange.com/q/760
    assert contract_address(Address("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"), nonce) == address


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "net")
    initialise(layout, loopback(3, 2))
    return layout


def test_a_network_is_described_in_its_directory(layout: Layout) -> None:
    network = load(layout)
    assert network.members.parties == tuple(Keystore(layout.keystore(f"party{i}")).address for i in range(3))
    assert Devnet(layout.root).network == network
    config = PartyConfig.load(layout.config("party1"))
    assert (config.party.index, config.size, len(config.party.lanes), config.party.engine) == (1, 3, 2, "masked")


def test_all_parties_have_the_engine_that_was_asked_for(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "net")
    initialise(layout, loopback(2), engine="crypten")
    assert {PartyConfig.load(layout.config(f"party{index}")).party.engine for index in range(2)} == {"crypten"}


def test_what_is_no_network_is_refused(tmp_path: Path, layout: Layout) -> None:
    with pytest.raises(ConfigError):
        load(Layout(tmp_path / "nowhere"))
    with pytest.raises(ConfigError):
        initialise(layout, loopback(2))
    with pytest.raises(StoreError):
        load_authority(Layout(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["", "../bob", "a/b", "bob.x"])
def test_names_of_clients_are_plain_words(layout: Layout, name: str) -> None:
    with pytest.raises(ConfigError):
        add_client(layout, name, load(layout))


def test_a_role_that_does_not_exist(layout: Layout) -> None:
    with pytest.raises(ConfigError, match="party2"):
        Devnet(layout.root).role("party3")


def test_the_report_is_json_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    run = ModelRun("m", "a model", "ab", 7, 0.5, 0.5, 1e-4, 1.0, 2.0, 3, 4_000, 5, 5)
    report = Report(3, "crypten", 1.5, (run,), (AnchorRun("cd", "0xef", 80_000, 5),))
    assert json.loads(json.dumps(report.as_json()))["models"][0]["rounds"] == 3
    print_report(report)
    shown = capsys.readouterr().out
    for text in ("50.00%", "1.0e-04", "4,000", "5 of 5", "80,000", "0xef"):
        assert text in shown
    assert max(len(line) for line in shown.splitlines()) <= 80
