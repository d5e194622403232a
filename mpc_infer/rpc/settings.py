"""What the configuration files of all roles have in common."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mpc_infer.encoding import address_bytes, to_address
from mpc_infer.errors import ConfigError
from mpc_infer.ids import Address

MAX_CONFIG_BYTES = 1 << 20
HexAddress = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
HexDigest = Annotated[str, Field(pattern=r"^(0x)?[0-9a-fA-F]{64}$")]
HostPort = Annotated[str, Field(pattern=r"^.+:\d{1,5}$")]

_Settings = TypeVar("_Settings", bound="Section")


class Section(BaseModel):
    """One table of a configuration file: frozen, and nothing in it that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def checksummed(text: str) -> Address:
    """An address in its EIP-55 form, however its letters were written."""
    return to_address(address_bytes(Address(text)))


class ChainSettings(Section):
    """A chain's node and the contracts that are believed.

    Attributes:
        timeout_s: longest wait for one answer of the node.
    """

    rpc_url: str
    party_registry: HexAddress
    model_registry: HexAddress
    receipt_anchor: HexAddress
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0

    @property
    def contracts(self) -> tuple[Address, Address, Address]:
        """PartyRegistry, ModelRegistry and ReceiptAnchor, checksummed."""
        return checksummed(self.party_registry), checksummed(self.model_registry), checksummed(self.receipt_anchor)


def split_host_port(text: str) -> tuple[str, int]:
    """``host:port`` as a pair; brackets around an IPv6 address are taken off.

    Raises:
        ConfigError: there is no port, or it is above 65535.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{text!r} is not host:port")
    return host.strip("[]"), int(port)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a configuration file.

    Raises:
        ConfigError: it cannot be read, is too large, or is not TOML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
        if len(data) > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path} has more than {MAX_CONFIG_BYTES} bytes")
        return tomllib.loads(data.decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error


def settings_from(kind: type[_Settings], tables: dict[str, Any], path: Path) -> _Settings:
    """Validate tables as a role's settings.

    Raises:
        ConfigError: a value is missing, wrong or unknown; the message names it.
    """
    try:
        return kind.model_validate(tables)
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"{path} is not a valid configuration: {where}") from error
