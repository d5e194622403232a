"""``python -m bench.stock_worker RANK PARTIES RENDEZVOUS_FILE ADDRESS``: a process of stock CrypTen, started by
`bench.stock`. It listens on the interface that has the address; with an empty one, where gloo likes.

Takes lines of JSON on stdin, answers with lines of JSON; ends when stdin does. Nothing of ours is imported here, since
our engine replaces parts of CrypTen for good.
"""

import json
import os
import sys
import time
from itertools import pairwise
from typing import Any

import numpy as np

from bench import reference, stock_graph
from bench.interfaces import interface_with


def _import_crypten() -> Any:
    from torch.onnx._internal.torchscript_exporter import registration

    sys.modules["torch.onnx._internal.registration"] = registration
    import crypten

    return crypten


def main() -> None:
    """Serve as a party, or, past the last one's rank, as the trusted third party."""
    import torch

    rank, parties, rendezvous, address = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    if address:
        os.environ["GLOO_SOCKET_IFNAME"] = interface_with(address)
    torch.set_num_threads(1)
    os.environ.update(
        DISTRIBUTED_BACKEND="gloo", RENDEZVOUS=f"file://{rendezvous}", WORLD_SIZE=str(parties), RANK=str(rank)
    )
    crypten = _import_crypten()
    crypten.cfg.mpc.provider = os.environ["STOCK_PROVIDER"]
    crypten.cfg.communicator.verbose = os.environ["STOCK_COUNTS"] != ""
    if rank == parties:
        crypten.mpc.provider.TTPServer()
        return
    crypten.init()
    for line in sys.stdin:
        print(json.dumps(_measure(crypten, torch, json.loads(line))), flush=True)


def _measure(crypten: Any, torch: Any, job: dict[str, Any]) -> dict[str, Any]:
    return _measure_graph(crypten, torch, job) if "graph" in job else _measure_dense(crypten, torch, job)


def _measure_graph(crypten: Any, torch: Any, job: dict[str, Any]) -> dict[str, Any]:
    """A graph of `bench.graphs`, with the weights of a file."""
    graph, tensors = job["graph"], _read(torch, job["tensors"])
    values = {name: crypten.cryptensor(tensor) for name, tensor in tensors.items()}
    communicator = crypten.communicator.get()
    times, opened = [], None
    for _ in range(job["repeat"]):
        communicator.barrier()
        communicator.reset_communication_stats()
        began = time.monotonic()
        with crypten.no_grad():
            opened = stock_graph.evaluate(graph, values).get_plain_text()
        times.append(1000 * (time.monotonic() - began))
    error = (opened - reference.evaluate(graph, tensors)).abs().max().item()
    return {"ms": times, "error": error, "rounds": communicator.comm_rounds, "bytes": communicator.comm_bytes}


def _read(torch: Any, path: str) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.tensor(arrays[name], dtype=torch.float32) for name in arrays}


def _measure_dense(crypten: Any, torch: Any, job: dict[str, Any]) -> dict[str, Any]:
    torch.manual_seed(0)
    sizes = job["sizes"]
    layers = [
        (crypten.cryptensor(torch.randn(width, height) / width**0.5), crypten.cryptensor(torch.randn(height)))
        for width, height in pairwise(sizes)
    ]
    x = crypten.cryptensor(torch.randn(job["batch"], sizes[0]))
    times = []
    for _ in range(job["repeat"]):
        crypten.communicator.get().barrier()
        began = time.monotonic()
        with crypten.no_grad():
            value = x
            for index, (weight, bias) in enumerate(layers):
                value = value.matmul(weight) + bias
                if index < len(layers) - 1:
                    value = value.relu()
            value.get_plain_text()
        times.append(1000 * (time.monotonic() - began))
    return {"ms": times}


if __name__ == "__main__":
    main()
