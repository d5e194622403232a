import pytest
from eth_utils import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from mpc_infer.errors import InvalidRequest
from mpc_infer.identity import address_bytes, address_of, chain_id_of, did_of, to_address
from mpc_infer.ids import Address, Did

ADDRESS = Address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")  # from EIP-55


@given(st.binary(min_size=20, max_size=20))
def test_checksums_are_those_of_eth_utils(data):
    assert to_address(data) == to_checksum_address(data)
    assert address_bytes(to_address(data)) == data


def test_a_did_names_chain_and_address():
    did = did_of(31337, Address(ADDRESS.lower()))
    assert did == f"did:ethr:0x7a69:{ADDRESS}"
    assert address_of(did) == ADDRESS
    assert chain_id_of(did) == 31337


@pytest.mark.parametrize(
    "did",
    [
        "",
        "did:ethr:0x7a69:",
        f"did:ethr:{ADDRESS}",
        f"did:web:0x7a69:{ADDRESS}",
        f"did:ethr:7a69:{ADDRESS}",
        f"did:ethr:0x07:{ADDRESS}",
        f"did:ethr:0x7a69:{ADDRESS}0",
        f"did:ethr:0x7a69:{ADDRESS}\n",
    ],
)
def test_other_dids_are_refused(did):
    with pytest.raises(InvalidRequest):
        address_of(Did(did))


@pytest.mark.parametrize(
    "address", ["", "0x", ADDRESS[2:], ADDRESS + "0", ADDRESS[:-1], "0x" + "g" * 40, "0X" + "1" * 40, "0x" + "1 " * 20]
)
def test_other_addresses_are_refused(address):
    with pytest.raises(InvalidRequest):
        address_bytes(Address(address))


@pytest.mark.parametrize("length", [0, 19, 21, 32])
def test_other_lengths_are_refused(length):
    with pytest.raises(InvalidRequest):
        to_address(bytes(length))
