"""Parties and a dealer as processes of their own on loopback, over real TLS, for benchmarks and protocol tests.

Each process takes a function and arguments from its pipe and answers with the result or the error. Functions get the
process's `PartyProcess` first. Pipes are those of `multiprocessing`, between a parent and its own children only.
"""

import multiprocessing
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

from mpc_infer.engine import get_engine
from mpc_infer.engine.session import SessionResult, SessionSpec, load_model, prepare_material, run_session
from mpc_infer.engine.tls_link import LinkConfig, TlsLink
from mpc_infer.graph import Graph
from mpc_infer.identity import CertificateAuthority, Signer, TlsCredentials
from mpc_infer.ids import Address, JobId, MaterialId, ModelHash, SessionId
from mpc_infer.preprocessing import Material, Plan, corrections
from mpc_infer.sharing import (
    Sealed,
    SealingKey,
    SealingPublicKey,
    Suite,
    combine,
    decode,
    encode,
    seal,
    sealed_seed_context,
    seed_commitment,
    split,
)

CALL_SECONDS = 240.0


@dataclass
class PartyProcess:
    """What lives in one party's process."""

    rank: int
    addresses: tuple[Address, ...]
    link: TlsLink
    dealer: Connection | None
    dealer_key: SealingPublicKey
    engine: Any
    materials: dict[bytes, Material] = field(default_factory=dict)
    models: dict[bytes, tuple[Graph, Any]] = field(default_factory=dict)

    def seal(self, material_id: bytes, plan: Plan) -> Callable[[bytes, Sequence[bytes]], bytes]:
        """A `SealSeed`."""

        def do(seed: bytes, commitments: Sequence[bytes]) -> bytes:
            context = sealed_seed_context(
                MaterialId(material_id), plan.digest, commitments, self.rank, self.addresses[-1]
            )
            return seal(seed, self.dealer_key, context).ciphertext

        return do

    def fetch(
        self, material_id: MaterialId, plan: bytes, commitments: Sequence[bytes], sealed: Sequence[bytes]
    ) -> Iterable[bytes]:
        """A `FetchCorrections`."""
        self.dealer.send((material_id, plan, list(commitments), list(sealed)))
        while (piece := self.dealer.recv_bytes()) != b"":
            yield piece


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _dealer_main(pipe: Connection, private: bytes, receiver: Address) -> None:
    torch.set_num_threads(1)
    key = SealingKey.from_private_bytes(Suite.X25519, private)
    while True:
        try:
            material_id, plan_bytes, commitments, sealed = pipe.recv()
        except EOFError:
            return
        plan = Plan.from_bytes(plan_bytes)
        seeds = []
        for party, box in enumerate(sealed):
            context = sealed_seed_context(material_id, plan.digest, commitments, party, receiver)
            seeds.append(key.unseal(Sealed(Suite.X25519, key.public.key_id, box), context))
            if seed_commitment(material_id, party, seeds[-1]) != commitments[party]:
                raise ValueError("a seed does not open its commitment")
        for piece in corrections(seeds, plan):
            pipe.send_bytes(piece)
        pipe.send_bytes(b"")


def _party_main(
    pipe: Connection, dealer: Connection | None, config: LinkConfig, dealer_key: SealingPublicKey, engine: str
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    party = PartyProcess(config.rank, config.addresses, TlsLink(config), dealer, dealer_key, get_engine(engine))
    pipe.send(None)
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            party.link.close()
            return
        try:
            answer = (True, function(party, *arguments))
        except Exception as error:  # noqa: BLE001 (the parent gets it)
            answer = (False, error)
        pipe.send(answer)


class Fleet:
    """The processes. Use as a context manager.

    Args:
        parties: how many.
        step_timeout_s: of the links.
        engine: by name.
    """

    def __init__(
        self, parties: int, *, step_timeout_s: float = 20.0, max_frame_bytes: int = 1 << 30, engine: str = "crypten"
    ) -> None:
        self.size = parties
        self.engine = engine
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["bench.fleet", f"mpc_infer.engine.{self.engine}"])
        authority = CertificateAuthority.create("fleet")
        self.addresses = tuple(Signer.generate().address for _ in range(parties))
        targets = tuple(("127.0.0.1", port) for port in free_ports(parties))
        self._dealer_key = SealingKey.generate(Suite.X25519)
        self.configs = [
            LinkConfig(
                rank,
                self.addresses,
                targets[rank],
                targets,
                TlsCredentials(authority.certificate_pem, *authority.issue(address, "party", ["127.0.0.1"])),
                step_timeout_s=step_timeout_s,
                max_frame_bytes=max_frame_bytes,
            )
            for rank, address in enumerate(self.addresses)
        ]
        self.processes: list[Any] = [None] * parties
        self.pipes: list[Any] = [None] * parties
        self._dealer: Any = None

    def __enter__(self) -> "Fleet":
        for rank in range(self.size):
            self.launch(rank)
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self.pipes:
            pipe.close()
        for process in [*self.processes, self._dealer]:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()

    def launch(self, rank: int) -> None:
        """Start one party (again), and with the last one the dealer."""
        dealer = None
        if rank == self.size - 1:
            dealer, far = self._context.Pipe()
            private = self._dealer_key.private_bytes()
            self._dealer = self._context.Process(
                target=_dealer_main, args=(far, private, self.addresses[-1]), daemon=True
            )
            self._dealer.start()
            far.close()
        near, far_end = self._context.Pipe()
        arguments = (far_end, dealer, self.configs[rank], self._dealer_key.public, self.engine)
        self.processes[rank] = self._context.Process(target=_party_main, args=arguments, daemon=True)
        self.processes[rank].start()
        far_end.close()
        if dealer is not None:
            dealer.close()
        self.pipes[rank] = near
        if not near.poll(60):
            raise TimeoutError(f"party {rank} did not start")
        near.recv()

    def signal(self, rank: int, number: int) -> None:
        """Send a signal to one party."""
        os.kill(self.processes[rank].pid, number)

    def start(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], ranks: Iterable[int]) -> None:
        """Let parties begin with a function, each with its arguments."""
        for rank in ranks:
            self.pipes[rank].send((function, arguments[rank]))

    def finish(self, ranks: Iterable[int], seconds: float = CALL_SECONDS) -> list[Any]:
        """Collect results; an error is an entry, not raised."""
        limit = time.monotonic() + seconds
        answers = []
        for rank in ranks:
            if not self.pipes[rank].poll(max(0.0, limit - time.monotonic())):
                raise TimeoutError(f"party {rank} does not answer")
            answers.append(self.pipes[rank].recv()[1])
        return answers

    def outcomes(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Results or errors of all parties."""
        self.start(function, arguments, range(self.size))
        return self.finish(range(self.size))

    def call(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Results of all parties; the first error is raised."""
        answers = self.outcomes(function, arguments)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers

    def load(self, graph: Graph, weights: dict[str, Any]) -> None:
        """Give every party its share of a model."""
        shares = {name: split(encode(value), self.size) for name, value in weights.items()}
        session_id = secrets.token_bytes(16)
        self.call(
            load,
            [
                (graph.to_bytes(), {name: parts[rank] for name, parts in shares.items()}, session_id)
                for rank in range(self.size)
            ],
        )

    def prepare(self, graph: Graph, batch: int, seconds: float = 200.0) -> bytes:
        """Make material; its id."""
        material_id = secrets.token_bytes(16)
        self.call(prepare, [(graph.digest, batch, material_id, seconds)] * self.size)
        return material_id

    def infer(self, graph: Graph, inputs: dict[str, Any], material_id: bytes | None = None) -> "Inference":
        """One session on fresh or given material."""
        batch = next(iter(inputs.values())).shape[0]
        material_id = material_id or self.prepare(graph, batch)
        return Inference(self.call(run, self.run_arguments(graph, inputs, material_id)))

    def run_arguments(
        self, graph: Graph, inputs: dict[str, Any], material_id: bytes, seconds: float = 200.0
    ) -> list[tuple[Any, ...]]:
        """Arguments of `run` for every party: a fresh session."""
        shares = {name: split(encode(value), self.size) for name, value in inputs.items()}
        spec = SessionSpec(
            SessionId(secrets.token_bytes(16)), JobId(bytes(32)), ModelHash(graph.digest), self.addresses
        )
        return [
            (graph.digest, {name: parts[rank] for name, parts in shares.items()}, material_id, spec, seconds)
            for rank in range(self.size)
        ]


class Inference:
    """What the parties of one session returned."""

    def __init__(self, results: list[SessionResult]) -> None:
        self.results = results

    @property
    def outputs(self) -> dict[str, Any]:
        """Outputs as floats."""
        return {name: decode(value) for name, value in self.ring.items()}

    @property
    def ring(self) -> dict[str, Any]:
        """Outputs as ring elements."""
        names = self.results[0].output_share
        return {name: combine([np.asarray(item.output_share[name]) for item in self.results]) for name in names}


def load(party: PartyProcess, graph: bytes, weights: dict[str, Any], session_id: bytes) -> None:
    """At a party: keep a share of a model."""
    parsed = Graph.from_bytes(graph)
    deadline = time.monotonic() + CALL_SECONDS
    model = load_model(
        party.link, party.engine, parsed, weights, ModelHash(parsed.digest), SessionId(session_id), deadline
    )
    party.models[parsed.digest] = (parsed, model)


def prepare(party: PartyProcess, graph_digest: bytes, batch: int, material_id: bytes, seconds: float) -> float:
    """At a party: make material. Returns the milliseconds it took."""
    graph, model = party.models[graph_digest]
    plan = party.engine.plan(graph, batch, party.link.size)
    began = time.monotonic()
    party.materials[material_id] = prepare_material(
        party.link,
        plan,
        MaterialId(material_id),
        time.monotonic() + seconds,
        seal=party.seal(material_id, plan),
        fetch=party.fetch,
        model_seed=getattr(model, "seed", b""),
    )
    party.engine.prepare(graph, model, party.materials[material_id], party.rank)
    return 1000 * (time.monotonic() - began)


def run(
    party: PartyProcess,
    graph_digest: bytes,
    inputs: dict[str, Any],
    material_id: bytes,
    spec: SessionSpec,
    seconds: float,
) -> SessionResult:
    """At a party: run a session."""
    graph, weights = party.models[graph_digest]
    return run_session(
        party.link,
        party.engine,
        graph,
        weights,
        inputs,
        party.materials[material_id],
        spec,
        time.monotonic() + seconds,
    )
