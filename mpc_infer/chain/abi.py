"""The contracts' ABI, from the committed artifacts: calls, results and custom errors to and from bytes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError

from mpc_infer.encoding import keccak
from mpc_infer.errors import ChainError, InvalidInput

CONTRACTS = ("PartyRegistry", "ModelRegistry", "ReceiptAnchor")
_SELECTOR = 4
_REVERT_STRING = keccak(b"Error(string)")[:_SELECTOR]
_PANIC = keccak(b"Panic(uint256)")[:_SELECTOR]


@dataclass(frozen=True)
class Entry:
    """A function or an error: how it is called, and with what."""

    name: str
    selector: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Contract:
    """A compiled contract; ``abi`` as the compiler writes it."""

    name: str
    functions: Mapping[str, Entry]
    errors: Mapping[bytes, Entry]
    abi: tuple[Any, ...]
    bytecode: bytes

    def encode_call(self, function: str, arguments: Sequence[Any]) -> bytes:
        """A call's data.

        Raises:
            InvalidInput: an argument does not fit its type.
        """
        entry = self.functions[function]
        return entry.selector + _encode(f"{self.name}.{function}", entry.inputs, arguments)

    def decode_result(self, function: str, data: bytes) -> tuple[Any, ...]:
        """What a call returned.

        Raises:
            ChainError: these are not its results; mostly, there is no such contract.
        """
        try:
            return tuple(decode(self.functions[function].outputs, data))
        except DecodingError as error:
            raise ChainError(
                f"{self.name}.{function} answered {len(data)} bytes that are not its result",
                remedy="check the contracts' addresses and the chain in the configuration",
            ) from error


@dataclass(frozen=True)
class Revert:
    """Why a call was reverted."""

    name: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(_shown(argument) for argument in self.arguments)})"


@cache
def contract(name: str) -> Contract:
    """One of the contracts, read from the package."""
    artifact = json.loads(resources.files("mpc_infer.chain").joinpath(f"artifacts/{name}.json").read_text())
    items = artifact["abi"]
    entries = [_entry(item) for item in items if item["type"] in ("function", "error")]
    functions = {item["name"] for item in items if item["type"] == "function"}
    return Contract(
        name=name,
        functions={entry.name: entry for entry in entries if entry.name in functions},
        errors={entry.selector: entry for entry in entries if entry.name not in functions},
        abi=tuple(items),
        bytecode=bytes.fromhex(artifact["bytecode"].removeprefix("0x")),
    )


def decode_revert(data: bytes) -> Revert | None:
    """A custom error of any of the contracts (they call each other), a plain reason, or a panic; None if unknown."""
    selector, rest = data[:_SELECTOR], data[_SELECTOR:]
    known: dict[bytes, tuple[str, tuple[str, ...]]] = {
        _REVERT_STRING: ("Error", ("string",)),
        _PANIC: ("Panic", ("uint256",)),
    }
    for name in CONTRACTS:
        entry = contract(name).errors.get(selector)
        if entry is not None:
            known[selector] = (entry.name, entry.inputs)
    if selector not in known:
        return None
    name, types = known[selector]
    try:
        return Revert(name, tuple(decode(types, rest)))
    except DecodingError:
        return None


def _encode(what: str, types: tuple[str, ...], arguments: Sequence[Any]) -> bytes:
    try:
        return bytes(encode(types, arguments))
    except (EncodingError, TypeError, ValueError) as error:
        raise InvalidInput(f"{what} cannot be called with these arguments: {error}") from error


def _entry(item: Mapping[str, Any]) -> Entry:
    inputs = _types(item["inputs"])
    selector = keccak(f"{item['name']}({','.join(inputs)})".encode())[:_SELECTOR]
    return Entry(item["name"], selector, inputs, _types(item.get("outputs", ())))


def _types(parameters: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(_type(parameter) for parameter in parameters)


def _type(parameter: Mapping[str, Any]) -> str:
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_types(parameter['components']))}){kind.removeprefix('tuple')}"


def _shown(argument: Any) -> str:
    return "0x" + argument.hex() if isinstance(argument, bytes) else str(argument)
