"""How much longer three processes take than two where all are on one machine and nobody can go on without the others.

``python -m bench.lockstep [--parties 2 3] [--work 0 200 1000] [--json]``. Every party is a process with a link of ours
to each other one. A round is so many microseconds of computing, the same instructions at every party, and an exchange
of 1 KiB with everybody: what an evaluation does, without anything of an engine. With more parties than cores the last
one of a round computes after the others, while they wait for it.
"""

import argparse
import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from mpc_infer.devnet.ports import free_ports
from mpc_infer.engine.tls_link import LinkConfig, TlsLink
from mpc_infer.identity.certs import CertificateAuthority
from mpc_infer.identity.signer import Signer
from mpc_infer.identity.tls import TlsCredentials

ROUNDS, WARM = 400, 50
SECONDS = 60.0
CALIBRATED = 2000
FRAME = np.zeros(128, dtype=np.uint64)


def round_us(parties: int, work_us: float) -> float:
    """Microseconds of the median round at party 0."""
    authority, ports = CertificateAuthority.create("bench"), free_ports(parties)
    addresses = tuple(Signer.generate().address for _ in range(parties))
    pairs = [authority.issue(address, "party", ["localhost"]) for address in addresses]
    targets = tuple(("localhost", port) for port in ports)
    configs = [
        LinkConfig(rank, addresses, targets[rank], targets, TlsCredentials(authority.certificate_pem, *pair))
        for rank, pair in enumerate(pairs)
    ]
    work = _worker(work_us)
    children = [_in_child(config, work) for config in configs[1:]]
    try:
        return 1e6 * statistics.median(_rounds(configs[0], work))
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _worker(work_us: float) -> Callable[[], None]:
    """Something that takes so long on an idle core: instructions, not time, so that who waits for a core does them."""
    numbers = np.ones(1000)

    def compute(times: int) -> None:
        for _ in range(times):
            np.sqrt(numbers, out=numbers)

    def microseconds() -> float:
        began = time.perf_counter()
        compute(CALIBRATED)
        return 1e6 * (time.perf_counter() - began)

    return partial(compute, round(work_us * CALIBRATED / min(microseconds() for _ in range(5))))


def _rounds(config: LinkConfig, work: Callable[[], None]) -> list[float]:
    link, found = TlsLink(config), []
    link.begin(bytes(16), time.monotonic() + SECONDS)
    for _ in range(WARM + ROUNDS):
        began = time.perf_counter()
        work()
        link.exchange(FRAME)
        found.append(time.perf_counter() - began)
    return found[WARM:]


def _in_child(config: LinkConfig, work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        signal.alarm(int(SECONDS))
        _rounds(config, work)
        time.sleep(SECONDS)  # connections stay until party 0 has done
        os._exit(0)
    return child


def main(words: Sequence[str] | None = None) -> None:
    """Print a line for each amount of work, or all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parties", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--work", type=float, nargs="+", default=[0.0, 200.0, 1000.0], help="microseconds of a round")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args(words)
    found = [
        {"work_us": work, "round_us": {str(parties): round_us(parties, work) for parties in arguments.parties}}
        for work in arguments.work
    ]
    if arguments.json:
        print(json.dumps({"lockstep": found}))
        return
    for each in found:
        rounds = ", ".join(f"{parties}: {us:.0f} us" for parties, us in each["round_us"].items())
        print(f"{each['work_us']:.0f} us of computing, a round among {rounds}")


if __name__ == "__main__":
    main()
