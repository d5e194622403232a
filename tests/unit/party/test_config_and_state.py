"""Configuration files and state machines."""

import pytest

from mpc_infer import errors
from mpc_infer.party.config import PartyConfig
from mpc_infer.party.server import members_of
from mpc_infer.party.state import MOVES, PartyState, SessionState, State

A, B = "0x" + "aa" * 20, "0x" + "bb" * 20
TEXT = f"""
[party]
index = 1
listen = "127.0.0.1:7200"
keystore = "keys"
database = "party.sqlite"
party_set = "0x{"01" * 32}"
lanes = ["127.0.0.1:7300", "127.0.0.1:7301"]

[[peers]]
index = 0
address = "{A}"
lanes = ["h:1", "h:2"]

[dealer]
target = "127.0.0.1:7100"
address = "{B}"
sealing_key_id = "{"ab" * 32}"

[coordinator]
address = "{B}"

[chain]
rpc_url = "http://127.0.0.1:8545"
party_registry = "{A}"
model_registry = "{A}"
receipt_anchor = "{A}"
"""


def load(tmp_path, text):
    (tmp_path / "party.toml").write_text(text)
    return PartyConfig.load(tmp_path / "party.toml")


def test_a_file_is_read_and_paths_are_relative_to_it(tmp_path):
    config = load(tmp_path, TEXT)
    assert config.party.keystore == tmp_path / "keys"
    assert config.party.database == tmp_path / "party.sqlite"
    assert config.party.party_set_id == b"\x01" * 32
    assert config.size == 2
    assert config.coordinator.identity != B
    assert config.coordinator.identity.lower() == B


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("index = 1", "index = 2", "indices"),
        ("index = 0", "index = 1", "indices"),
        ('lanes = ["h:1", "h:2"]', 'lanes = ["h:1"]', "as many lanes"),
        ("[dealer]", "[dealer]\nkey = 1", r"dealer\.key"),
        ('listen = "127.0.0.1:7200"', 'listen = "7200"', r"party\.listen"),
        ("[coordinator]", "[coordinators]", "coordinator"),
        (f'sealing_key_id = "{"ab" * 32}"', "", r"dealer\.sealing_key_id: Field required"),
        ("[party]", "[party", "TOML"),
        (A, "0x12", "address"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path, old, new, match):
    with pytest.raises(errors.ConfigError, match=match):
        load(tmp_path, TEXT.replace(old, new))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(errors.ConfigError, match="cannot be read"):
        PartyConfig.load(tmp_path / "none.toml")


def test_two_parties_of_one_address_are_refused(tmp_path):
    config = load(tmp_path, TEXT)
    with pytest.raises(errors.ConfigError, match="same address"):
        members_of(config, config.peers[0].identity)


@pytest.mark.parametrize("start", list(PartyState) + list(SessionState))
def test_only_the_moves_of_the_table_are_legal(start):
    for target in type(start):
        state = State(start)
        if target in MOVES[start]:
            state.move(target)
            assert state.now is target
        else:
            with pytest.raises(errors.InternalError, match="no move"):
                state.move(target)
