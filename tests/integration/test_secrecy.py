"""A recorded run: every socket, log and database, and the chain, searched for what must not be there."""

import dataclasses
import gzip
import json
import sqlite3
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc_infer import Client, InferenceResult
from mpc_infer.chain import ContractAddresses
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import DATA_OWNER, OWNER
from mpc_infer.devnet.onnx_export import dense_onnx
from mpc_infer.devnet.topology import loopback
from mpc_infer.sharing import fixed
from tests.integration.recorder import Recorder

# Values that turn up nowhere by chance. Spellings shorter than this would.
SHORTEST = 7
# A number of fewer bytes than this is searched with its neighbour: between zeros it stands wherever a hash comes before
# a small number, as everywhere on a chain.
SIGNIFICANT = 4
FIRST_SLOTS = 64
ROWS = np.array([[1234.5678, -87.65432, 3141.5926], [2718.2818, -1618.0339, 577.21566]])
WEIGHTS = np.array([[1.2345678, -3.4567891], [2.3456789, 4.5678912], [1.9876543, 0.8765432]])
BIAS = np.array([12.345678, -23.456789])


@dataclass(frozen=True)
class Run:
    """What a run left behind."""

    directory: Path
    streams: list[tuple[str, bytes]]
    chain: str
    storage: str
    whole_storage: bool
    results: dict[str, InferenceResult]


class Node:
    """A chain's node, asked without any of our code."""

    def __init__(self, rpc_url: str) -> None:
        self._url = rpc_url

    def __call__(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer).get("result")


def chain_contents(node: Node) -> str:
    """Every block with its transactions, and every receipt with its logs."""
    blocks = [node("eth_getBlockByNumber", hex(n), True) for n in range(int(node("eth_blockNumber"), 16) + 1)]
    hashes = [transaction["hash"] for block in blocks for transaction in block["transactions"]]
    return json.dumps([blocks, [node("eth_getTransactionReceipt", each) for each in hashes]])


def chain_storage(node: Node, contracts: ContractAddresses) -> tuple[str, bool]:
    """The contracts' code and storage: all of it where the node dumps its state (anvil), else the first slots.

    What lies in the slots of mappings was in a transaction's data before, and that is searched in any case.
    """
    dump = node("anvil_dumpState")
    if dump is not None:
        data = bytes.fromhex(dump.removeprefix("0x"))
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode(), True
    slots = range(FIRST_SLOTS)
    addresses = dataclasses.astuple(contracts)
    found = {
        address: [
            node("eth_getCode", address, "latest"),
            *(node("eth_getStorageAt", address, hex(slot), "latest") for slot in slots),
        ]
        for address in addresses
    }
    return json.dumps(found), False


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two parties; the model published, and one job per delivery, through recording proxies."""
    topology = loopback(2, 1, proxied=True)
    directory = tmp_path_factory.mktemp("recorded") / "net"
    with Recorder(topology) as recorder, Devnet(directory, topology=topology) as net:
        with Client(net.client(OWNER)) as owner, Client(net.client(DATA_OWNER)) as alice:
            model = dense_onnx(((WEIGHTS, BIAS), (np.eye(2), np.zeros(2))), "secret")
            owner.publish(model, "secret", 1, public=False, users=[alice.address])
            results = {
                delivery: alice.infer("secret", {"x": ROWS}, delivery=delivery, anchored=True)
                for delivery in ("coordinator", "client")
            }
            chain = chain_contents(Node(net.rpc_url))
            storage, whole = chain_storage(Node(net.rpc_url), net.network.contracts)
        streams = recorder.recorded()
    return Run(directory, streams, chain, storage, whole, results)


def in_fixed_point(name: str, rings: Sequence[int]) -> dict[str, bytes]:
    """Neighbours in a tensor, as bytes and as hex digits."""
    little, big = (b"".join(ring.to_bytes(8, order) for ring in rings) for order in ("little", "big"))
    return {
        f"{name} in fixed point": little,
        f"{name} in fixed point, big-endian": big,
        f"{name} in fixed point, hex": big.hex().encode(),
        f"{name} in fixed point, little-endian hex": little.hex().encode(),
    }


def spellings(values: np.ndarray) -> dict[str, bytes]:
    """Each value in the encodings in which it could leak."""
    found: dict[str, bytes] = {}
    for value in values.reshape(-1):
        ring = int(fixed.encode(np.array([value]))[0])
        found |= {
            f"{value} as float64": np.float64(value).tobytes(),
            f"{value} as big-endian float64": np.float64(value).astype(">f8").tobytes(),
            f"{value} in fixed point, decimal": str(ring).encode(),
            f"{value} in decimal": f"{abs(value):.6f}".encode(),
        }
        if ring >= 1 << 8 * (SIGNIFICANT - 1):
            found |= in_fixed_point(str(value), [ring])
    rings = [int(ring) for ring in fixed.encode(values.reshape(-1))]
    found |= {
        what: secret for pair in pairwise(rings) for what, secret in in_fixed_point(f"a pair {pair}", pair).items()
    }
    pairs = np.asarray(values, np.float32).reshape(-1)
    found |= {f"float32 {a} {b}": np.array([a, b], np.float32).tobytes() for a, b in pairwise(pairs)}
    return {what: secret for what, secret in found.items() if len(secret) >= SHORTEST}


def secrets(run: Run) -> dict[str, bytes]:
    plain = np.maximum(ROWS @ WEIGHTS + BIAS, 0.0)
    private = [result.outputs["logits"] for result in run.results.values()]
    assert all(np.abs(each - plain).max() < 0.05 for each in private)
    found: dict[str, bytes] = {}
    for values in (ROWS, WEIGHTS, BIAS):
        found |= spellings(values)
    for values in private:
        # Zeros are everywhere; the results that matter are not zero.
        found |= spellings(values[values > 1.0])
    return found


def assert_absent(run: Run, where: list[tuple[str, bytes]]) -> None:
    leaks = [f"{what} in {name}" for what, secret in secrets(run).items() for name, data in where if secret in data]
    assert leaks == []


def test_the_search_finds_what_is_there(run: Run) -> None:
    """The net has a mesh that is fine enough: what the client itself holds is found."""
    held = b"".join(each.outputs["logits"].tobytes() for each in run.results.values())
    assert any(secret in held for secret in secrets(run).values())
    assert fixed.encode(ROWS).tobytes()[:8] in secrets(run).values()


def test_every_socket_was_recorded(run: Run) -> None:
    names = {name for name, data in run.streams if len(data) > 100}
    assert names == {"chain", "coordinator", "dealer", "party0", "party1", "party0-lane0"}


def test_nothing_on_any_socket(run: Run) -> None:
    assert_absent(run, run.streams)


def test_only_ciphertext_between_the_roles(run: Run) -> None:
    """Every record of every connection but those to the chain is TLS, and nothing in it is readable."""
    for name, data in run.streams:
        if name == "chain" or not data:
            continue
        position, kinds = 0, set()
        while position + 5 <= len(data):
            kind, version, length = data[position], data[position + 1 : position + 3], data[position + 3 : position + 5]
            assert kind in (20, 21, 22, 23), name
            assert version in (b"\x03\x01", b"\x03\x03"), name
            kinds.add(kind)
            position += 5 + int.from_bytes(length, "big")
        for readable in (b"mpc_infer.v1", b"grpc-", b"MPT1", b"urn:mpc-infer"):
            assert readable not in data, name


def test_nothing_in_any_log(run: Run) -> None:
    logs = [(str(path), path.read_bytes()) for path in run.directory.rglob("*.log")]
    assert len(logs) >= 5
    assert_absent(run, logs)


def test_nothing_in_any_database(run: Run) -> None:
    databases = [path for path in run.directory.rglob("*") if ".sqlite" in path.name]
    assert {path.name for path in databases} >= {"party.sqlite", "coordinator.sqlite"}
    assert_absent(run, [(str(path), path.read_bytes()) for path in databases])
    assert_absent(run, [(str(path), cells(path)) for path in databases if path.suffix == ".sqlite"])


def cells(path: Path) -> bytes:
    """Every value of every table, joined: a value that spans pages of the file is in one piece here."""
    connection = sqlite3.connect(path)
    tables = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
    values = [cell for table in tables for row in connection.execute(f'select * from "{table}"') for cell in row]
    connection.close()
    return b"\0".join(cell if isinstance(cell, bytes) else str(cell).encode() for cell in values)


def test_no_share_lies_open_in_a_database(run: Run) -> None:
    """Shares alone reveal nothing, but all parties' databases together would."""
    found = [str(path) for path in run.directory.rglob("*.sqlite*") if b"MPT1" in path.read_bytes()]
    assert found == []


def test_nothing_on_the_chain(run: Run) -> None:
    raw = run.chain.encode()
    binary = bytes.fromhex("".join(part for part in raw.decode().split('"0x')[1:] for part in [even(part)]))
    assert_absent(run, [("the chain", raw), ("the chain's bytes", binary)])


def test_nothing_in_the_storage_of_the_contracts(run: Run) -> None:
    raw = run.storage.encode()
    words = "".join(even(part) for part in run.storage.split('"0x')[1:])
    assert len(words) > 10_000
    if run.whole_storage:  # not an empty net: what was published under a public name is found by the same search
        assert b"secret".hex() in words
    assert_absent(run, [("storage", raw), ("the storage's bytes", bytes.fromhex(words))])


def even(part: str) -> str:
    digits = part.partition('"')[0]
    return digits if len(digits) % 2 == 0 else "0" + digits


def test_private_keys_stay_where_they_are_made(run: Run) -> None:
    keys = [path.read_bytes() for path in run.directory.rglob("*.key") if path.stat().st_size in (32, 96)]
    assert len(keys) > 10
    for name, data in [*run.streams, *((str(path), path.read_bytes()) for path in run.directory.rglob("*.log"))]:
        assert not [key for key in keys if key in data or key.hex().encode() in data], name
