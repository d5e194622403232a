"""ABI, artifacts and custom errors."""

import pytest
from eth_abi.abi import encode

from mpc_infer.chain.abi import CONTRACTS, contract, decode_revert
from mpc_infer.encoding import keccak
from mpc_infer.errors import ChainError, InvalidInput


@pytest.mark.parametrize("name", CONTRACTS)
def test_artifacts_are_complete(name: str) -> None:
    compiled = contract(name)
    assert len(compiled.bytecode) > 1000
    assert compiled.functions
    assert compiled.errors


def test_selectors_are_those_of_the_standards() -> None:
    parties = contract("PartyRegistry").functions
    assert parties["identityOwner"].selector.hex() == "8733d4e8"  # ERC-1056
    assert parties["changeOwner"].selector.hex() == "f00d4b5d"
    assert parties["hasRole"].selector.hex() == "91d14854"  # OpenZeppelin's AccessControl


def test_structs_are_spelled_out() -> None:
    entry = contract("ReceiptAnchor").functions["hashBatchRoot"]
    assert entry.inputs == ("(bytes32,uint64,bytes32)",)
    assert entry.selector == keccak(b"hashBatchRoot((bytes32,uint64,bytes32))")[:4]


def test_custom_errors_of_all_contracts_are_decoded() -> None:
    data = keccak(b"NotModelOwner(bytes32,address)")[:4] + encode(
        ["bytes32", "address"], [b"\x07" * 32, "0x" + "22" * 20]
    )
    assert str(decode_revert(data)) == f"NotModelOwner(0x{'07' * 32}, 0x{'22' * 20})"
    foreign = keccak(b"PartyExists(address)")[:4] + encode(["address"], ["0x" + "11" * 20])
    assert str(decode_revert(foreign)) == f"PartyExists(0x{'11' * 20})"


def test_reasons_and_panics_are_decoded() -> None:
    reason = keccak(b"Error(string)")[:4] + encode(["string"], ["no"])
    assert str(decode_revert(reason)) == "Error(no)"
    panic = keccak(b"Panic(uint256)")[:4] + encode(["uint256"], [17])
    assert str(decode_revert(panic)) == "Panic(17)"


@pytest.mark.parametrize("data", [b"", b"\x01", b"\xff" * 4, keccak(b"NotModelOwner(bytes32,address)")[:4] + b"\x01"])
def test_unknown_reverts_are_none(data: bytes) -> None:
    assert decode_revert(data) is None


def test_wrong_arguments_and_results_are_refused() -> None:
    anchor = contract("ReceiptAnchor")
    with pytest.raises(InvalidInput, match=r"ReceiptAnchor\.anchored"):
        anchor.encode_call("anchored", [1])
    with pytest.raises(InvalidInput):
        anchor.encode_call("anchored", [])
    with pytest.raises(ChainError, match="0 bytes"):
        anchor.decode_result("anchored", b"")
