"""A second client, written from docs/protocol.md alone: of mpc_infer it uses only the stubs generated from protos/.

What it needs from outside: its identity key, its certificate, and the configuration that says where coordinator and
chain are and which contracts to believe.
"""

import json
import os
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc_infer.v1 import common_pb2, coordinator_pb2, coordinator_pb2_grpc
from tests.integration import second_crypto as crypto
from tests.integration.second_chain import Chain, address_word, byte_strings, list_at, text, text_at, word, words_of

JOB_REQUEST = (
    "JobRequest(bytes32 jobId,bytes32 modelHash,bytes32 partySet,bytes32 inputRoot,address owner,uint8 delivery,"
    "bytes32 resultKey,uint64 rows,bytes32 nonce,uint64 deadline)"
)
RECEIPT = (
    "Receipt(uint8 version,bytes32 jobId,bytes32 requestDigest,bytes32 modelHash,bytes32 partySet,bytes32 planDigest,"
    "bytes32 engine,bytes32 inputRoot,bytes32 outputCommitment,bytes32 transcript,bytes32 nonce,uint64 started,"
    "uint64 finished,uint64 registryBlock)"
)
BATCH_ROOT = "BatchRoot(bytes32 root,uint64 size,bytes32 partySet)"
PUBLICATION = "ModelPublication(bytes32 modelHash)"
HOLDING = "ModelHolding(bytes32 modelHash,bytes32 partySet,address owner)"
COORDINATOR, CLIENT = 1, 2
MIB = 1 << 20


def canonical(value: Any) -> bytes:
    """RFC 8785, for what manifests and graphs hold: ASCII keys, integers below 2^53."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class Party:
    address: bytes
    suite: int
    public_key: bytes


@dataclass(frozen=True)
class Network:
    party_set: bytes
    parties: tuple[Party, ...]


@dataclass(frozen=True)
class Sent:
    """A job as it was sent, and what is needed to check its answer."""

    message: coordinator_pb2.SubmitJobRequest
    words: tuple[bytes, ...]
    digest: bytes
    network: Network
    manifest: dict[str, Any]
    result_key: X25519PrivateKey | None


class SecondClient:
    def __init__(self, config: Path, suite: int) -> None:
        settings = tomllib.loads(config.read_text())
        client, chain = settings["client"], settings["chain"]
        keys = config.parent / client["keystore"]
        self._key = (keys / "identity.key").read_bytes()
        self.address = crypto.address_of(self._key)
        self.suite = suite
        names = ("party_registry", "model_registry", "receipt_anchor")
        self.party_registry, self.model_registry, self.anchor = (bytes.fromhex(chain[name][2:]) for name in names)
        self.chain = Chain(chain["rpc_url"])
        tls = grpc.ssl_channel_credentials(*((keys / name).read_bytes() for name in ("ca.pem", "tls.key", "tls.pem")))
        identity = client["coordinator_address"][2:].lower() + ".coordinator.mpc-infer.internal"
        options = [
            ("grpc.ssl_target_name_override", identity),
            ("grpc.max_receive_message_length", 64 * MIB),
            ("grpc.max_send_message_length", 64 * MIB),
        ]
        self.channel = grpc.secure_channel(client["coordinator"], tls, options)
        self.stub: Any = coordinator_pb2_grpc.CoordinatorServiceStub(self.channel)

    # Section 8, step 1

    def network(self) -> Network:
        said = self.stub.GetNetwork(coordinator_pb2.GetNetworkRequest(), timeout=30)
        assert said.chain_id == self.chain.chain_id
        assert (said.party_registry, said.model_registry) == (self.party_registry, self.model_registry)
        assert said.receipt_anchor == self.anchor
        record = self.chain.call(self.party_registry, "partySet(bytes32)", said.party_set)
        members = [each[12:] for each in list_at(record, int.from_bytes(record[:32], "big"))]
        self._check_id(said.party_set, members, threshold=record[32:64])
        assert [party.address for party in said.parties] == members
        return Network(said.party_set, tuple(self._party(party) for party in said.parties))

    def _check_id(self, party_set: bytes, members: Sequence[bytes], threshold: bytes) -> None:
        head = word(self.chain.chain_id) + address_word(self.party_registry) + word(4 * 32) + threshold
        assert party_set == crypto.keccak(head + word(len(members)) + b"".join(map(address_word, members)))

    def _party(self, info: common_pb2.PartyInfo) -> Party:
        record = self.chain.call(self.party_registry, "party(address)", address_word(info.address))[32:]
        registered = list_at(record, int.from_bytes(record[32:64], "big"))
        key = next(key for key in info.sealing_keys if key.suite == self.suite)
        assert crypto.key_id(self.suite, key.public_key) in registered
        return Party(info.address, self.suite, key.public_key)

    # Step 2

    def model(self, name: str) -> tuple[bytes, dict[str, Any]]:
        active = self.chain.call(self.model_registry, "activeModel(string)", word(32) + text(name))
        listed = self.stub.ListModels(coordinator_pb2.ListModelsRequest(name=name), timeout=30).models
        found = next(each for each in listed if each.model_hash == active)
        manifest = json.loads(found.manifest)
        assert crypto.digest("model-hash", found.manifest) == active
        assert crypto.digest("graph", found.graph).hex() == manifest["graph_digest"]
        assert canonical(manifest) == found.manifest
        record = self.chain.call(self.model_registry, "model(bytes32)", active)[32:]
        owner, version, _, _, party_set = words_of(record)[:5]
        assert (owner, version) == (address_word(bytes.fromhex(manifest["owner"][2:])), word(manifest["version"]))
        assert (party_set.hex(), text_at(record, 5)) == (manifest["party_set"], manifest["name"])
        return active, manifest

    # Steps 3 and 4

    def prepare(self, model: str, rows: Sequence[Sequence[float]], delivery: int, *, seconds: float = 30) -> Sent:
        network, (model_hash, manifest) = self.network(), self.model(model)
        (spec,) = manifest["inputs"]
        words = [crypto.encode(float(value), manifest["frac_bits"]) for row in rows for value in row]
        check_ranges(manifest["input_ranges"][0], words, len(rows))
        shape = (len(rows), *spec["shape"][1:])
        job_id, commitments, boxes = os.urandom(32), [], []
        for party, share in zip(network.parties, crypto.split(words, len(network.parties)), strict=True):
            salt, data = os.urandom(32), crypto.tensor_bytes({spec["name"]: (shape, share)})
            context = crypto.digest("input-context", job_id, model_hash, party.address)
            commitments.append(crypto.digest("share-commitment", salt, context, data))
            sealed = crypto.digest("sealed-input", job_id, model_hash, self.address, party.address)
            boxes.append(self._box(party, salt + data, sealed))
        result_key = X25519PrivateKey.generate() if delivery == CLIENT else None
        public = b"" if result_key is None else result_key.public_key().public_bytes_raw()
        fields = (
            job_id,
            model_hash,
            network.party_set,
            crypto.root(commitments),
            address_word(self.address),
            word(delivery),
            bytes(32) if result_key is None else crypto.key_id(crypto.X25519, public),
            word(len(rows)),
            os.urandom(32),
            word(time.time_ns() // 1_000_000 + int(1000 * seconds)),
        )
        hashed = crypto.typed_digest(JOB_REQUEST, b"".join(fields), self.chain.chain_id, self.anchor)
        message = coordinator_pb2.SubmitJobRequest(
            job_request=b"".join(fields),
            owner_signature=self._signature(hashed),
            input_commitments=commitments,
            sealed_inputs=boxes,
            result_key=None if result_key is None else common_pb2.SealingKey(suite=crypto.X25519, public_key=public),
        )
        return Sent(message, fields, hashed, network, manifest, result_key)

    def submit(self, sent: Sent, *, detach: bool = False) -> coordinator_pb2.Job:
        message = coordinator_pb2.SubmitJobRequest()
        message.CopyFrom(sent.message)
        message.detach = detach
        return self.stub.SubmitJob(message, timeout=60).job

    def watch(self, sent: Sent) -> Iterator[coordinator_pb2.Job]:
        for answer in self.stub.WatchJob(coordinator_pb2.WatchJobRequest(job_id=sent.words[0]), timeout=60):
            yield answer.job

    # Step 5

    def check(self, sent: Sent, job: coordinator_pb2.Job) -> dict[str, tuple[tuple[int, ...], list[float]]]:
        assert job.job_id == sent.words[0]
        receipt = words_of(job.receipt.receipt)
        assert len(receipt) == 14
        job_id, model_hash, party_set, input_root, *_, nonce, _ = sent.words
        assert receipt[:5] == [word(1), job_id, sent.digest, model_hash, party_set]
        assert (receipt[7], receipt[10]) == (input_root, nonce)
        members = [party.address for party in sent.network.parties]
        hashed = self._receipt_digest(job.receipt)
        self._check_signatures(hashed, job.receipt.signatures, members)
        assert crypto.root(job.output_commitments) == receipt[8]
        shares = []
        for member, commitment, opening in zip(members, job.output_commitments, self._openings(sent, job), strict=True):
            context = crypto.digest("output-context", job.session_id, job_id, member)
            assert crypto.digest("share-commitment", opening.salt, context, opening.share) == commitment
            shares.append(crypto.read_tensors(opening.share))
        return self._sum(shares, sent.manifest["frac_bits"])

    def _openings(self, sent: Sent, job: coordinator_pb2.Job) -> list[common_pb2.Opening]:
        if sent.result_key is None:
            return list(job.openings)
        opened = []
        for party, box in zip(sent.network.parties, job.sealed_outputs, strict=True):
            context = crypto.digest("sealed-result", sent.words[0], party.address)
            plain = crypto.unseal_x25519(box.ciphertext, sent.result_key, context)
            opened.append(common_pb2.Opening.FromString(plain))
        return opened

    @staticmethod
    def _sum(
        shares: Sequence[dict[str, tuple[tuple[int, ...], list[int]]]], frac_bits: int
    ) -> dict[str, tuple[tuple[int, ...], list[float]]]:
        outputs = {}
        for name, (shape, _) in shares[0].items():
            columns = zip(*(share[name][1] for share in shares), strict=True)
            outputs[name] = shape, [crypto.decode(sum(column) % 2**64, frac_bits) for column in columns]
        return outputs

    # Step 6

    def receipt(self, sent: Sent) -> coordinator_pb2.GetReceiptResponse:
        return self.stub.GetReceipt(coordinator_pb2.GetReceiptRequest(job_id=sent.words[0]), timeout=30)

    def check_anchored(self, sent: Sent, answer: coordinator_pb2.GetReceiptResponse) -> None:
        proof, members = answer.inclusion, [party.address for party in sent.network.parties]
        hashed = self._receipt_digest(answer.receipt)
        assert crypto.root_by_path(hashed, proof.index, proof.size, proof.path) == proof.root
        words = proof.root + word(proof.size) + sent.network.party_set
        batch = crypto.typed_digest(BATCH_ROOT, words, self.chain.chain_id, self.anchor)
        self._check_signatures(batch, proof.signatures, members)
        on_chain = self.chain.call(self.anchor, "anchored(bytes32,bytes32)", proof.root + sent.network.party_set)
        assert words_of(on_chain)[0] == word(proof.size)

    def bundle(self, sent: Sent, job: coordinator_pb2.Job, answer: coordinator_pb2.GetReceiptResponse) -> bytes:
        """Section 10."""
        proof, members = answer.inclusion, [checksummed(party.address) for party in sent.network.parties]
        contracts = {
            "party_registry": checksummed(self.party_registry),
            "model_registry": checksummed(self.model_registry),
            "receipt_anchor": checksummed(self.anchor),
        }
        openings = [{"salt": hexed(each.salt), "share": hexed(each.share)} for each in self._openings(sent, job)]
        content = {
            "schema": "mpc-infer/bundle/v1",
            "chain_id": self.chain.chain_id,
            "contracts": contracts,
            "members": members,
            "receipt": hexed(answer.receipt.receipt),
            "signatures": signatures_json(answer.receipt.signatures),
            "request": {
                "words": hexed(sent.message.job_request),
                "signature": hexed(sent.message.owner_signature.signature),
            },
            "output_openings": {"session_id": hexed(job.session_id), "shares": openings},
            "inclusion": {
                "index": proof.index,
                "size": proof.size,
                "path": [hexed(each) for each in proof.path],
                "root": hexed(proof.root),
                "signatures": signatures_json(proof.signatures),
                "transaction": hexed(proof.transaction),
                "block": proof.block,
                "gas_used": proof.gas_used,
            },
        }
        return json.dumps(content).encode()

    # Section 14: a model of one linear layer

    def publish(
        self, name: str, weights: Sequence[Sequence[float]], *, public: bool = False
    ) -> tuple[bytes, list[bytes]]:
        """Version 1 of a name, brought to the parties. Returns the model's hash and the parties' signed holdings.

        Public weights go to all parties as they are: the shares then hold no tensor.
        """
        network, frac_bits = self.network(), 16
        sizes = [len(weights), len(weights[0])]
        content = linear_graph(*sizes)
        content["weights"][0] |= {"public": True} if public else {}
        graph = canonical(content)
        words = [crypto.encode(value, frac_bits) for row in weights for value in row]
        known = crypto.tensor_bytes({"w": (tuple(sizes), words)}) if public else b""
        graph_digest, version = crypto.digest("graph", graph), 1
        plaintexts, commitments = [], []
        for party, share in zip(network.parties, crypto.split(words, len(network.parties)), strict=True):
            salt, data = os.urandom(32), crypto.tensor_bytes({} if public else {"w": (tuple(sizes), share)})
            number = version.to_bytes(8, "big")
            names = (graph_digest, self.address, name.encode(), number, party.address)
            commitments.append(crypto.digest("share-commitment", salt, crypto.digest("model-context", *names), data))
            plaintexts.append(salt + data)
        manifest = canonical(
            {
                "schema": "mpc-infer/manifest/v3",
                "name": name,
                "version": version,
                "owner": checksummed(self.address),
                "party_set": network.party_set.hex(),
                "graph_digest": graph_digest.hex(),
                "share_commitments": [each.hex() for each in commitments],
                "public_digest": crypto.digest("public-weights", known).hex() if public else None,
                "frac_bits": frac_bits,
                "input_ranges": [{"low": [1 - 2**31], "high": [2**31 - 1]}],
                "calibration": None,
                "analysis": 0,
                "error_bounds": [None],
                "value_bits": [],
                "inputs": json.loads(graph)["inputs"],
                "outputs": json.loads(graph)["outputs"],
            }
        )
        model_hash = crypto.digest("model-hash", manifest)
        boxes = [
            self._box(party, plain, crypto.digest("sealed-model", model_hash, party.address))
            for party, plain in zip(network.parties, plaintexts, strict=True)
        ]
        hashed = crypto.typed_digest(PUBLICATION, model_hash, self.chain.chain_id, self.model_registry)
        signature = self._signature(hashed)
        request = coordinator_pb2.PublishModelRequest(
            manifest=manifest, graph=graph, sealed_shares=boxes, owner_signature=signature, public_weights=known
        )
        answer = self.stub.PublishModel(request, timeout=60)
        assert answer.model_hash == model_hash
        holding = model_hash + network.party_set + address_word(self.address)
        held = crypto.typed_digest(HOLDING, holding, self.chain.chain_id, self.model_registry)
        self._check_signatures(held, answer.holdings, [party.address for party in network.parties])
        return model_hash, [each.signature for each in answer.holdings]

    def activate(self, model_hash: bytes, name: str, holdings: Sequence[bytes], party_set: bytes) -> None:
        """The registry's part: propose, stage, activate."""
        registry = self.model_registry
        proposal = model_hash + word(4 * 32) + word(1) + party_set + text(name)
        self.chain.send(self._key, registry, "propose(bytes32,string,uint64,bytes32)", proposal)
        staging = model_hash + word(2 * 32) + byte_strings(holdings)
        self.chain.send(self._key, registry, "stage(bytes32,bytes[])", staging)
        self.chain.send(self._key, registry, "activate(bytes32)", model_hash)

    # What several steps share

    def _box(self, party: Party, plaintext: bytes, context: bytes) -> common_pb2.SealedBox:
        ciphertext = crypto.seal(plaintext, party.suite, party.public_key, context)
        key_id = crypto.key_id(party.suite, party.public_key)
        return common_pb2.SealedBox(suite=party.suite, key_id=key_id, ciphertext=ciphertext)

    def _signature(self, hashed: bytes) -> common_pb2.Signature:
        return common_pb2.Signature(signer=self.address, signature=crypto.sign(self._key, hashed))

    def _receipt_digest(self, signed: common_pb2.SignedReceipt) -> bytes:
        return crypto.typed_digest(RECEIPT, signed.receipt, self.chain.chain_id, self.anchor)

    @staticmethod
    def _check_signatures(hashed: bytes, signatures: Sequence[common_pb2.Signature], members: Sequence[bytes]) -> None:
        assert [crypto.recover(hashed, each.signature) for each in signatures] == list(members)
        assert [each.signer for each in signatures] == list(members)


def check_ranges(given: dict[str, list[int]], words: Sequence[int], rows: int) -> None:
    """Section 1: every encoding lies in the range of its element, the same in every row."""
    elements = len(words) // rows
    low, high = (each * elements if len(each) == 1 else each for each in (given["low"], given["high"]))
    for place, word_ in enumerate(words):
        signed = word_ - 2**64 if word_ >= 2**63 else word_
        if not low[place % elements] <= signed <= high[place % elements]:
            raise ValueError(f"element {place % elements} of row {place // elements} is outside of its range")


def linear_graph(inputs: int, outputs: int) -> dict[str, Any]:
    return {
        "schema": "mpc-infer/graph/v1",
        "inputs": [{"name": "x", "shape": [None, inputs]}],
        "outputs": [{"name": "y", "shape": [None, outputs]}],
        "weights": [{"name": "w", "shape": [inputs, outputs]}],
        "nodes": [{"name": "layer", "op": "Linear", "inputs": ["x", "w"], "outputs": ["y"], "attributes": {}}],
    }


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def checksummed(address: bytes) -> str:
    """EIP-55."""
    digits = address.hex()
    checks = crypto.keccak(digits.encode()).hex()
    return "0x" + "".join(d.upper() if c >= "8" else d for d, c in zip(digits, checks, strict=False))


def signatures_json(signatures: Sequence[common_pb2.Signature]) -> list[dict[str, str]]:
    return [{"signer": checksummed(each.signer), "signature": hexed(each.signature)} for each in signatures]
