"""Parties, models and anchors, written and read through ``mpc_infer.chain`` on a real EVM."""

import json
import re
import threading
import time
import urllib.request
from dataclasses import replace

import pytest

from mpc_infer.chain import ChainFacts, ContractAddresses, ModelStatus, Registry
from mpc_infer.encoding import keccak, to_address
from mpc_infer.errors import ChainError, InvalidInput, ModelNotFound, NotFound, TransactionFailed
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import BatchRoot
from mpc_infer.identity.signer import Signer
from mpc_infer.ids import ModelHash, PartySetId

from .conftest import Network

NOBODY = to_address(b"\x99" * 20)
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def batch(network: Network, root: bytes, size: int) -> list[bytes]:
    digest = BatchRoot(root, size, network.party_set).digest(network.writer(network.admin).receipt_domain)
    return [party.sign_digest(digest) for party in network.parties]


def rpc(network: Network, method: str, *params: object) -> dict[str, object]:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(network.chain.url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, object] = json.load(response)
    return answer


def test_parties_are_as_registered(network: Network) -> None:
    reader = network.writer(network.admin)
    assert reader.chain_id == 31337
    members = tuple(party.address for party in network.parties)
    record = reader.party_set(network.party_set)
    assert (record.members, record.threshold) == (members, 3)
    party = reader.party(members[1])
    assert (party.endpoint, party.sealing_key_ids, party.tls_key_hash) == (
        "party-1:7000",
        (keccak(b"sealing"),),
        keccak(b"tls"),
    )
    assert abs(party.registered_at - time.time()) < 3600


def test_a_party_can_sign_for_what_happens_now(network: Network) -> None:
    reader = network.writer(network.admin)
    member = network.parties[0].address
    assert reader.signer_valid(member, member, int(time.time()))
    assert not reader.signer_valid(member, member, reader.party(member).registered_at - 1)
    assert not reader.signer_valid(member, NOBODY, int(time.time()))


def test_keys_rotate_and_are_revoked(network: Network) -> None:
    admin, spare = network.writer(network.admin), Signer.generate()
    identity = network.parties[0]
    writer = network.writer(identity)
    writer.add_signer(identity.address, spare.address, 0, 2**63)
    now = writer.head().timestamp
    assert writer.signer_valid(identity.address, spare.address, now)
    before = writer.head().number
    admin.revoke_signer(identity.address, spare.address, now)
    assert not writer.signer_valid(identity.address, spare.address, now)
    assert writer.signer_valid(identity.address, spare.address, now, block=before)
    facts = ChainFacts(writer)
    assert not facts.signer_revoked(identity.address, spare.address, now - 1)
    assert facts.signer_revoked(identity.address, spare.address, now)
    assert not facts.signer_revoked(identity.address, identity.address, now)
    with pytest.raises(TransactionFailed, match="SignerExists"):
        writer.add_signer(identity.address, spare.address, 0, 2**63)


def test_a_party_updates_its_endpoint(network: Network) -> None:
    identity = network.parties[0]
    before = network.writer(identity).party(identity.address)
    network.writer(identity).update_party(identity.address, before.tls_key_hash, before.sealing_key_ids, "elsewhere:1")
    assert network.writer(identity).party(identity.address).endpoint == "elsewhere:1"


def test_unknown_things_are_not_found(network: Network) -> None:
    reader = network.writer(network.admin)
    with pytest.raises(ModelNotFound, match="ModelUnknown"):
        reader.model(ModelHash(keccak(b"nothing")))
    with pytest.raises(ModelNotFound):
        reader.may_use(ModelHash(keccak(b"nothing")), NOBODY)
    with pytest.raises(ModelNotFound, match="NoActiveModel"):
        reader.active_model("no such name")
    with pytest.raises(NotFound, match="PartySetUnknown"):
        reader.party_set(PartySetId(keccak(b"nothing")))
    with pytest.raises(NotFound, match="PartyUnknown"):
        reader.party(NOBODY)
    with pytest.raises(NotFound, match="block"):
        reader.block(10**9)
    assert reader.anchored(keccak(b"nothing"), network.party_set) is None


def test_wrong_arguments_are_refused_before_they_are_sent(network: Network) -> None:
    reader = network.writer(network.admin)
    with pytest.raises(InvalidInput, match=r"ModelRegistry\.model"):
        reader.model(ModelHash(b"\x01" * 33))
    with pytest.raises(InvalidInput, match="negative"):
        reader.model(ModelHash(keccak(b"x")), block=-1)


def test_addresses_without_contracts_are_noticed(network: Network) -> None:
    wrong = replace(network.addresses, model_registry=NOBODY)
    with pytest.raises(ChainError, match="not its result"):
        Registry(network.chain.url, wrong).active_model("digits")


def test_the_way_of_a_model(network: Network) -> None:
    writer = network.writer(network.owner)
    model_hash = network.proposed("way")
    with pytest.raises(ModelNotFound, match="ModelUnknown"):
        writer.model(model_hash)
    record = writer.proposal(model_hash, network.owner.address)
    assert (record.owner, record.name, record.version) == (network.owner.address, "way", 1)
    assert (record.party_set, record.status, record.public) == (network.party_set, ModelStatus.PROPOSED, False)
    writer.stage(model_hash, network.holdings(model_hash))
    assert writer.model(model_hash) == replace(record, status=ModelStatus.STAGED)
    with pytest.raises(ModelNotFound, match="ProposalUnknown"):
        writer.proposal(model_hash, network.owner.address)
    activated = writer.activate(model_hash)
    assert writer.active_model("way") == model_hash
    writer.deprecate(model_hash)
    assert writer.model(model_hash).status is ModelStatus.DEPRECATED
    assert writer.model(model_hash, activated.block).status is ModelStatus.ACTIVE
    assert writer.model(model_hash, activated.block - 1).status is ModelStatus.STAGED
    writer.revoke(model_hash, keccak(b"reason"))
    with pytest.raises(TransactionFailed, match=re.escape(f"StatusWrong(0x{model_hash.hex()}, 5)")):
        writer.activate(model_hash)


def test_a_new_version_takes_over_and_rolls_back(network: Network) -> None:
    first, second = network.active("rolling", 1), network.active("rolling", 2)
    writer = network.writer(network.owner)
    assert writer.active_model("rolling") == second
    assert writer.model(first).status is ModelStatus.DEPRECATED
    writer.activate(first)
    assert writer.active_model("rolling") == first


def test_staging_needs_every_partys_own_signature(network: Network) -> None:
    writer, model_hash = network.writer(network.owner), network.proposed("unheld")
    holdings = network.holdings(model_hash)
    with pytest.raises(TransactionFailed, match=re.escape("SignatureCountWrong(2, 3)")):
        writer.stage(model_hash, holdings[:2])
    with pytest.raises(TransactionFailed, match="SignerNotValid"):
        writer.stage(model_hash, [holdings[1], holdings[0], holdings[2]])
    with pytest.raises(TransactionFailed, match="SignerNotValid"):
        writer.stage(model_hash, network.holdings(ModelHash(keccak(b"another"))))
    assert writer.proposal(model_hash, network.owner.address).status is ModelStatus.PROPOSED


def test_whoever_proposes_a_foreign_model_neither_gets_nor_blocks_it(network: Network) -> None:
    model_hash = ModelHash(keccak(b"wanted 1"))
    squatter = network.writer(network.admin)
    squatter.propose(model_hash, "squatted", 1, network.party_set)
    with pytest.raises(TransactionFailed, match="SignerNotValid"):
        squatter.stage(model_hash, network.holdings(model_hash))
    assert network.active("wanted") == model_hash
    assert squatter.model(model_hash).owner == network.owner.address
    assert squatter.active_model("wanted") == model_hash
    with pytest.raises(TransactionFailed, match="ModelExists"):
        squatter.stage(model_hash, network.holdings(model_hash))


def test_permissions(network: Network) -> None:
    writer, model_hash = network.writer(network.owner), network.staged("permitted")
    assert writer.may_use(model_hash, network.owner.address)
    assert not writer.may_use(model_hash, NOBODY)
    given = writer.set_user(model_hash, NOBODY, True)
    assert writer.may_use(model_hash, NOBODY)
    assert not writer.may_use(model_hash, NOBODY, given.block - 1)
    writer.set_user(model_hash, NOBODY, False)
    assert not writer.may_use(model_hash, NOBODY)
    writer.set_public(model_hash, True)
    assert writer.may_use(model_hash, NOBODY)
    assert writer.model(model_hash).public
    with pytest.raises(TransactionFailed, match="NotModelOwner"):
        network.writer(network.admin).set_user(model_hash, NOBODY, True)


def test_whatever_changes_about_a_model_is_in_the_logs(network: Network) -> None:
    writer, model_hash = network.writer(network.owner), network.staged("logged")
    steps = (
        writer.set_user(model_hash, NOBODY, True),
        writer.set_user(model_hash, NOBODY, False),
        writer.set_public(model_hash, True),
        writer.activate(model_hash),
        writer.deprecate(model_hash),
        writer.revoke(model_hash, keccak(b"reason")),
    )
    for step in steps:
        assert writer.models_changed(step.block, step.block)
    identity = network.parties[0]
    party = network.writer(identity).party(identity.address)
    other = network.writer(identity).update_party(identity.address, party.tls_key_hash, party.sealing_key_ids, "new:1")
    assert not writer.models_changed(other.block, other.block)


def test_a_root_is_anchored_once_with_all_signatures(network: Network) -> None:
    writer, root = network.writer(network.admin), keccak(b"a root")
    result = writer.anchor(root, 1024, network.party_set, batch(network, root, 1024))
    assert result.gas_used < 100 * 1024
    record = writer.anchored(root, network.party_set)
    assert record is not None
    assert (record.root, record.size, record.block, record.party_set) == (root, 1024, result.block, network.party_set)
    assert abs(record.timestamp - time.time()) < 3600
    assert writer.anchored(root, network.party_set, result.block - 1) is None
    with pytest.raises(TransactionFailed, match="RootExists"):
        writer.anchor(root, 1024, network.party_set, batch(network, root, 1024))


def test_a_root_without_all_signatures_is_refused(network: Network) -> None:
    writer, root = network.writer(network.admin), keccak(b"an unsigned root")
    signatures = batch(network, root, 3)
    r, s, v = signatures[2][:32], int.from_bytes(signatures[2][32:64], "big"), signatures[2][64]
    high = r + (SECP256K1_ORDER - s).to_bytes(32, "big") + bytes([55 - v])
    for wrong, reason in [
        (signatures[:2], "SignatureCountWrong"),
        ([*signatures[:2], signatures[1]], "SignerNotValid"),
        (batch(network, root, 4), "SignerNotValid"),
        ([*signatures[:2], high], "ECDSAInvalidSignatureS"),
        ([*signatures[:2], b""], "ECDSAInvalidSignatureLength"),
    ]:
        with pytest.raises(TransactionFailed, match=reason):
            writer.anchor(root, 3, network.party_set, wrong)
    assert writer.anchored(root, network.party_set) is None


def test_another_set_takes_no_root_away(network: Network) -> None:
    writer, root = network.writer(network.admin), keccak(b"a wanted root")
    members = tuple(party.address for party in network.parties)
    writer.create_party_set(members, 2)
    other = writer.party_set_id(members, 2)
    digest = BatchRoot(root, 9, other).digest(writer.receipt_domain)
    writer.anchor(root, 9, other, [party.sign_digest(digest) for party in network.parties])
    assert writer.anchored(root, network.party_set) is None
    writer.anchor(root, 3, network.party_set, batch(network, root, 3))
    sizes = [(found := writer.anchored(root, each)) and found.size for each in (other, network.party_set)]
    assert sizes == [9, 3]


def test_facts_for_the_verifier(network: Network) -> None:
    writer = network.writer(network.owner)
    model_hash = network.active("facts")
    facts, block = ChainFacts(writer), writer.head().number
    found = facts.model(model_hash, block)
    assert found is not None
    assert (found.active, found.party_set) == (True, network.party_set)
    writer.deprecate(model_hash)
    later = facts.model(model_hash, writer.head().number)
    assert later is not None
    assert not later.active
    assert facts.model(model_hash, block) == found
    assert facts.model(model_hash, writer.head().number + 1000) is None
    assert facts.model(ModelHash(keccak(b"nothing")), block) is None
    assert facts.members(network.party_set) == tuple(party.address for party in network.parties)
    assert facts.members(PartySetId(keccak(b"nothing"))) is None
    assert facts.anchored(keccak(b"nothing"), network.party_set) is None
    assert facts.receipt_domain.verifying_contract == network.addresses.receipt_anchor
    root = merkle.root([keccak(b"receipt")])
    writer.anchor(root, 1, network.party_set, batch(network, root, 1))
    anchor = facts.anchored(root, network.party_set)
    assert anchor is not None
    assert (anchor.size, anchor.timestamp) == (1, writer.head().timestamp)


def test_one_writer_serves_many_threads(network: Network) -> None:
    writer, model_hash = network.writer(network.owner), network.staged("threads")
    users = [to_address(bytes([number]) * 20) for number in range(1, 9)]
    failures: list[Exception] = []

    def allow(number: int) -> None:
        try:
            writer.set_user(model_hash, users[number], True)
        except ChainError as error:
            failures.append(error)

    threads = [threading.Thread(target=allow, args=(number,)) for number in range(len(users))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert all(writer.may_use(model_hash, user) for user in users)


def test_two_writers_with_one_key_do_not_lose_transactions(network: Network) -> None:
    first, second = network.writer(network.owner), network.writer(network.owner)
    model_hash = network.staged("two writers")
    first.set_user(model_hash, NOBODY, True)
    second.set_public(model_hash, True)
    first.set_user(model_hash, NOBODY, False)
    assert second.model(model_hash).public


def test_a_poor_sender_is_told(network: Network) -> None:
    poor = network.writer(Signer.generate())
    with pytest.raises(TransactionFailed):
        poor.propose(ModelHash(keccak(b"poor")), "poor", 1, network.party_set)


def test_deployment_sets_the_roles(network: Network) -> None:
    addresses: ContractAddresses = network.addresses
    assert len({addresses.party_registry, addresses.model_registry, addresses.receipt_anchor}) == 3
    with pytest.raises(TransactionFailed, match="AccessControlUnauthorizedAccount"):
        network.writer(network.owner).register_party(NOBODY, keccak(b"tls"), [], "x:1")


def test_json_rpc_is_what_libraries_expect(network: Network) -> None:
    block = rpc(network, "eth_getBlockByNumber", "latest", False)["result"]
    assert isinstance(block, dict)
    head = int(block["number"], 16)
    assert rpc(network, "eth_blockNumber")["result"] == hex(head)
    history = rpc(network, "eth_feeHistory", "0x2", "latest", [50])["result"]
    assert isinstance(history, dict)
    assert len(history["baseFeePerGas"]) == 3
    code = rpc(network, "eth_getCode", network.addresses.receipt_anchor, "latest")["result"]
    assert isinstance(code, str)
    assert len(code) > 1000
    assert rpc(network, "eth_getCode", network.addresses.receipt_anchor, "0x0")["result"] == "0x"
    balance = rpc(network, "eth_getBalance", network.admin.address, "latest")["result"]
    assert isinstance(balance, str)
    assert int(balance, 16) > 10**20
    slot = rpc(network, "eth_getStorageAt", network.addresses.party_registry, "0x0", "latest")["result"]
    assert isinstance(slot, str)
    assert len(slot) == 66
    assert "error" in rpc(network, "eth_noSuchMethod")
    assert int(str(rpc(network, "eth_gasPrice")["result"]), 16) > 0


def test_events_are_in_receipts_and_logs(network: Network) -> None:
    root = keccak(b"an event")
    result = network.writer(network.admin).anchor(root, 2, network.party_set, batch(network, root, 2))
    topic = "0x" + keccak(b"Anchored(bytes32,bytes32,uint64)").hex()
    receipt = rpc(network, "eth_getTransactionReceipt", "0x" + result.hash.hex())["result"]
    assert isinstance(receipt, dict)
    assert receipt["logs"][0]["topics"] == [topic, "0x" + root.hex(), "0x" + network.party_set.hex()]
    query = {"fromBlock": hex(result.block), "toBlock": "latest", "address": network.addresses.receipt_anchor}
    logs = rpc(network, "eth_getLogs", {**query, "topics": [topic, "0x" + root.hex()]})["result"]
    assert isinstance(logs, list)
    assert [log["transactionHash"] for log in logs] == ["0x" + result.hash.hex()]
    assert rpc(network, "eth_getLogs", {**query, "topics": [topic, "0x" + keccak(b"other").hex()]})["result"] == []
