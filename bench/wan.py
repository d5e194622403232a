"""LeNet over a slow network, ours and stock CrypTen's: two parties, each in a network namespace of its own.

``ip netns exec B python -m bench.wan --netns A,B --addresses 10.9.0.1,10.9.0.2 [--json] [--model lenet]``, where the
namespaces A and B reach each other under these addresses with the delay and rate to be measured: by netem, another
emulator, or links between machines. The second party, which is next to the dealer, runs where this runs. Milliseconds
are medians from shares to shares; CrypTen makes its tuples meanwhile, at party 0, and opens the output.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from rich.console import Console

from bench.fleet import Fleet
from bench.graphs import MODELS
from bench.interfaces import interface_with
from bench.measure import write_tensors
from bench.rows import Case, Row
from bench.stock import Stock
from bench.table import number, size

CONNECT = (
    "import socket, sys, time; began = time.monotonic(); "
    "socket.create_connection((sys.argv[1], int(sys.argv[2])), 10).close(); print(1000 * (time.monotonic() - began))"
)
CONNECT_SECONDS = 30.0
TRIES = 5
Places = list[tuple[list[str], str]]
"""For each party words before its command, and its address."""


def ours(places: Places, case: Case, repeat: int) -> Row:
    """On the masked engine, material made ahead."""
    with Fleet(len(places), engine="masked", places=places) as fleet:
        fleet.load(case.graph, case.weights, case.fixed)
        done = [fleet.infer(case.graph, case.inputs).results[0] for _ in range(repeat + 1)][1:]
    return {
        "system": "mpc-infer/masked",
        "online_ms": round(statistics.median(each.evaluated_ms for each in done), 1),
        "session_ms": round(statistics.median(each.online_ms for each in done), 1),
        "rounds": done[-1].rounds,
        "bytes": done[-1].bytes_sent,
    }


def crypten(places: Places, case: Case, repeat: int) -> Row:
    """On stock CrypTen."""
    with tempfile.TemporaryDirectory() as path:
        tensors = write_tensors(case, Path(path))
        with Stock(len(places), Path(path), counts=True, provider="TFP", places=places) as peer:
            peer.measure_graph(case.description, tensors, 1)
            answer = peer.measure_graph(case.description, tensors, repeat)
    return {
        "system": "crypten",
        "online_ms": round(statistics.median(answer["ms"]), 1),
        "session_ms": None,
        "rounds": answer["rounds"],
        "bytes": answer["bytes"],
    }


def round_trip_ms(places: Places) -> float:
    """Milliseconds that connecting from the first party's place to the second's takes: one round trip."""
    return statistics.median(_connect_ms(places) for _ in range(TRIES))


def _connect_ms(places: Places) -> float:
    prefix, _ = places[0]
    _, address = places[1]
    with socket.create_server((address, 0)) as listener:
        command = [*prefix, sys.executable, "-c", CONNECT, address, str(listener.getsockname()[1])]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=CONNECT_SECONDS)
    return float(done.stdout)


def measure(places: Places, model: str, repeat: int, network: str, console: Console) -> Row:
    """All of it."""
    case = Case(model, 1, *MODELS[model]())
    trip = round_trip_ms(places)
    console.print(f"{network}; a round trip takes {trip:.1f} ms", style="dim")
    rows = []
    for system in (ours, crypten):
        rows.append(system(places, case, repeat))
        console.print(f"{rows[-1]['system']}: {rows[-1]['online_ms']:.0f} ms", style="dim")
    return {
        "network": network,
        "round_trip_ms": round(trip, 1),
        "model": model,
        "rows": rows,
        "times_faster": round(rows[1]["online_ms"] / rows[0]["online_ms"], 1),
        "times_fewer_rounds": round(rows[1]["rounds"] / rows[0]["rounds"], 1),
        "times_fewer_bytes": round(rows[1]["bytes"] / rows[0]["bytes"], 1),
    }


def show(found: Row, console: Console) -> None:
    """In words."""
    console.print(f"{found['model']}, 2 parties; {found['network']}; round trip {found['round_trip_ms']} ms")
    for row in found["rows"]:
        sent = size(row["bytes"])
        console.print(
            f"{row['system']:17} {number(row['online_ms'])} ms, {row['rounds']} rounds, {sent} from each party"
        )
    console.print(
        f"{found['times_faster']} times faster, with {found['times_fewer_rounds']} times fewer rounds "
        f"and {found['times_fewer_bytes']} times fewer bytes"
    )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--netns", required=True, help="two network namespaces, with a comma; this runs in the second")
    parser.add_argument("--addresses", required=True, help="their IPv4 addresses, with a comma")
    parser.add_argument("--network", default="as it is", help="what is emulated, in words, for the report")
    parser.add_argument("--model", choices=list(MODELS), default="lenet")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, words on stderr")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names, addresses = arguments.netns.split(","), arguments.addresses.split(",")
    if len(names) != 2 or len(addresses) != 2:
        parser.error("two namespaces and two addresses are needed")
    try:
        interface_with(addresses[1])
    except LookupError as error:
        parser.error(f"{error} Run this by `ip netns exec {names[1]} python -m bench.wan ...`.")
    places = [(["ip", "netns", "exec", names[0]], addresses[0]), ([], addresses[1])]
    found = measure(places, arguments.model, arguments.repeat, arguments.network, Console(stderr=True))
    show(found, Console(stderr=arguments.json))
    if arguments.json:
        print(json.dumps({"wan": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
