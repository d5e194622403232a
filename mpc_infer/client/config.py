"""What a client must be told: who it is, where the coordinator is, and which chain it believes. ::

[client]
keystore = "keys/alice"
coordinator = "127.0.0.1:7000"
coordinator_address = "0x…"
suite = "MLKEM768_X25519"            # or "X25519"

[chain]
rpc_url = "http://127.0.0.1:8545"
party_registry = "0x…"
model_registry = "0x…"
receipt_anchor = "0x…"
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from mpc_infer.rpc.channel import MAX_MESSAGE_BYTES, MOST_MESSAGE_BYTES
from mpc_infer.rpc.settings import ChainSettings, HexAddress, HostPort, Section, read_toml, settings_from


class ClientSection(Section):
    """Who the client is and whom it talks to.

    Attributes:
        keystore: directory of this client's keys and certificate.
        coordinator: ``host:port``.
        coordinator_address: the identity that the coordinator's certificate must show.
        suite: how input shares are sealed. A party that publishes no key of this suite is refused.
        facts_ttl_s: for how many seconds facts read from the chain are believed without reading them again.
        max_message_bytes: largest message to and from the coordinator, whose own limit holds, too.
    """

    keystore: Path
    coordinator: HostPort
    coordinator_address: HexAddress
    suite: Literal["MLKEM768_X25519", "X25519"] = "MLKEM768_X25519"
    facts_ttl_s: Annotated[float, Field(ge=0, le=3600)] = 30.0
    max_message_bytes: Annotated[int, Field(ge=1 << 16, le=MOST_MESSAGE_BYTES)] = MAX_MESSAGE_BYTES


class ChainSection(ChainSettings):
    """The chain and the contracts that this client believes."""


class ClientConfig(Section):
    """Everything a client needs."""

    client: ClientSection
    chain: ChainSection

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a TOML file; a relative keystore in it is relative to it.

        Raises:
            ConfigError: it cannot be read or is wrong.
        """
        config = settings_from(cls, read_toml(path), path)
        own = config.client.model_copy(update={"keystore": path.parent / config.client.keystore})
        return config.model_copy(update={"client": own})
