"""The dealer streams: what it holds does not grow with what it sends, and requests are worked on side by side."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from mpc_infer.preprocessing import MaskedRequest, ModelMasks
from mpc_infer.preprocessing.masked_dealer import sum_words, weight_mask

SCRIPT = """
import resource, secrets, sys
from concurrent.futures import ThreadPoolExecutor
from mpc_infer.engine.masked.compiler import compile_graph
from mpc_infer.graph import Graph, Node, TensorSpec
from mpc_infer.preprocessing import ModelMasks, corrections
from mpc_infer.sharing import FixedPoint

def plan(layers):
    names = [f"t{i}" for i in range(layers + 1)]
    nodes = tuple(Node(f"n{i}", "Gelu", (names[i],), (names[i + 1],)) for i in range(layers))
    graph = Graph((TensorSpec("t0", (None, 2048)),), (TensorSpec(names[-1], (None, 2048)),), (), nodes)
    return compile_graph(graph, 1, 2, FixedPoint(), lean_from=1).plan

def stream(chosen, masks):
    seeds = [secrets.token_bytes(64) for _ in range(2)]
    return sum(map(len, corrections(seeds, chosen, BATCHES, masks)))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

BATCHES, masks, small, big = 1, ModelMasks(), plan(1), plan(48)
stream(small, masks)
before = peak()
BATCHES = 2
sent = stream(big, masks)
with ThreadPoolExecutor(2) as pool:
    at_once = list(pool.map(stream, [big] * 2, [masks] * 2))
assert at_once == [sent] * 2
print(before, peak(), sent >> 20)
"""


def test_threads_share_the_masks_of_models_within_a_bound():
    # Each weight takes 800 bytes, and five of them fit: what is found is right whoever pushed it out meanwhile.
    masks, seeds = ModelMasks(max_bytes=4000), [bytes(32), bytes([1]) * 32]
    requests = [MaskedRequest("weight", (), (10, 10), (slot,)) for slot in range(6)]
    expected = [sum_words([weight_mask(seed, request) for seed in seeds]) for request in requests]

    def ask(turn):
        return all((masks.mask(seeds, requests[k % 6]) == expected[k % 6]).all() for k in range(turn, turn + 60))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(16)))
    assert repr(masks) == "ModelMasks(5 weights)"


@pytest.mark.slow
def test_a_big_plan_takes_no_more_memory_than_its_largest_request():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=240, check=True)
    before, after, sent = map(int, done.stdout.split())
    # One request's tables are 1.5 MiB and two of them are worked on at once: the rest is slack of the allocator.
    assert sent > 180
    assert after - before < 64, done.stdout
