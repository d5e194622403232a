"""The chain's own check of a receipt agrees with Python's digests, paths and roots."""

import dataclasses
import time

import pytest

from mpc_infer.chain.abi import contract
from mpc_infer.chain.rpc import JsonRpc
from mpc_infer.encoding import keccak
from mpc_infer.errors import ChainError
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import BatchRoot, Receipt, engine_word
from mpc_infer.ids import JobId, ModelHash

from .conftest import Network


def receipt(network: Network, number: int) -> Receipt:
    now = int(time.time() * 1000)
    words = [keccak(bytes([number, field])) for field in range(8)]
    return Receipt(
        1,
        JobId(words[0]),
        words[1],
        ModelHash(words[2]),
        network.party_set,
        words[3],
        engine_word("crypten"),
        words[4],
        words[5],
        words[6],
        words[7],
        now - 5,
        now,
        1,
    )


def ask(network: Network, function: str, *arguments: object) -> tuple[object, ...]:
    data = "0x" + contract("ReceiptAnchor").encode_call(function, arguments).hex()
    answer = JsonRpc(network.chain.url).call(
        "eth_call", {"to": network.addresses.receipt_anchor, "data": data}, "latest"
    )
    return contract("ReceiptAnchor").decode_result(function, bytes.fromhex(answer[2:]))


def fields(value: Receipt) -> tuple[object, ...]:
    return tuple(getattr(value, field.name) for field in dataclasses.fields(value))


@pytest.mark.parametrize("size", [1, 5])
def test_receipts_of_a_batch_verify_on_the_chain(network: Network, size: int) -> None:
    writer = network.writer(network.admin)
    domain = writer.receipt_domain
    receipts = [receipt(network, number) for number in range(size)]
    digests = [value.digest(domain) for value in receipts]
    root = merkle.root(digests)
    batch = BatchRoot(root, size, network.party_set).digest(domain)
    writer.anchor(root, size, network.party_set, [party.sign_digest(batch) for party in network.parties])
    here = network.party_set
    for index, value in enumerate(receipts):
        path = merkle.inclusion_path(digests, index)
        signatures = [party.sign_digest(digests[index]) for party in network.parties]
        assert ask(network, "hashReceipt", fields(value)) == (digests[index],)
        assert ask(network, "verifyInclusion", digests[index], index, size, path, root, here) == (True,)
        assert ask(network, "verifyInclusion", digests[index], index, size + 1, path, root, here) == (False,)
        assert ask(network, "verifyReceipt", fields(value), signatures, index, path, root) == (digests[index],)
        with pytest.raises(ChainError, match="revert"):
            ask(network, "verifyReceipt", fields(value), signatures[:2], index, path, root)
