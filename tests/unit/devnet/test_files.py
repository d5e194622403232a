import tomllib
from pathlib import Path

import pytest

from mpc_infer.devnet.toml import dumps, write_private
from mpc_infer.devnet.topology import compose, loopback
from mpc_infer.errors import ConfigError, InternalError


def test_toml_reads_back_what_was_written() -> None:
    document = {
        "party": {
            "index": 0,
            "listen": "127.0.0.1:1",
            "ratio": 0.5,
            "on": True,
            "odd": 'a "b" \\ \n é',
            "lanes": ["x", "y"],
        },
        "peers": [{"index": 1}, {"index": 2, "lanes": []}],
    }
    assert tomllib.loads(dumps(document)) == document


def test_toml_refuses_what_it_cannot_write() -> None:
    with pytest.raises(InternalError):
        dumps({"a": {"b": None}})  # type: ignore[dict-item]


def test_private_files_are_private_even_if_they_were_not(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("parties", [1, 6])
def test_sizes_have_limits(parties: int) -> None:
    with pytest.raises(ConfigError, match="2 to 5"):
        loopback(parties)


def test_every_endpoint_has_a_port_of_its_own() -> None:
    net = loopback(3, 2, proxied=True)
    ends = [net.chain, net.coordinator, net.dealer, *(place.service for place in net.parties)]
    ends += [lane for place in net.parties for lane in place.lanes]
    ports = [port for end in ends for port in (end.port, end.bind_port)]
    assert len(set(ports)) == len(ports) == 2 * (3 + 3 * 3)


def test_in_compose_a_role_is_reached_by_its_name() -> None:
    net = compose(2)
    assert net.parties[1].service.target == "party1:7100"
    assert net.parties[1].lanes[0].listen == "0.0.0.0:7200"
    assert set(net.hosts) == {"coordinator", "dealer", "party0", "party1", "localhost", "127.0.0.1"}
