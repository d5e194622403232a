"""Parties and a dealer as processes of their own on loopback, over real TLS, for benchmarks and protocol tests.

A party is `bench.worker` (what a lane does, with a lane's code); the dealer is `mpc-infer dealer serve`, reached by the
last party over mutual TLS. ::

    with Fleet(3, engine="crypten") as fleet:
        fleet.load(graph, weights)                   # floats, split here; load_shares takes shares
        material = fleet.prepare(graph, batch=4)     # ahead of time; its costs are in it
        inference = fleet.infer(graph, {"x": x}, material)          # infer_shares takes shares
        inference.outputs, inference.results[0].online_ms, inference.results[0].rounds

Tests that look closer send messages themselves (`run_messages`, `start`, `finish`, `outcomes`), let a party misbehave
(`do`), stop it (`signal`) or replace it (`restart`).
"""

import inspect
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.child import Child
from bench.dealer import DealerProcess
from bench.wire import PartyResult, result_of
from mpc_infer.devnet.ports import free_ports
from mpc_infer.engine.api import DEFAULT
from mpc_infer.errors import MpcInferError, Unavailable
from mpc_infer.graph import Graph
from mpc_infer.identity import CertificateAuthority, Signer, TlsCredentials
from mpc_infer.ids import Address
from mpc_infer.party.frames import Message, Scalar, raise_error
from mpc_infer.party.lane_setup import LaneSetup
from mpc_infer.sharing import FRAC_BITS, FixedPoint, combine, decode, encode, encode_tensors, split

HOST = "127.0.0.1"
START_SECONDS = 120.0
CALL_SECONDS = 240.0
SESSION_SECONDS = 200.0

Answer = Message | MpcInferError


@dataclass(frozen=True)
class Prepared:
    """Material that all parties hold, and what it cost.

    Attributes:
        material_id: 16 bytes.
        offline_ms: the slowest party's milliseconds, from meeting the others to usable material, dealer included.
        material_bytes: held by each party.
        correction_bytes: sent by the dealer.
    """

    material_id: bytes
    offline_ms: float
    material_bytes: int
    correction_bytes: int


class Inference:
    """What the parties of one session returned: `results`, one for each party."""

    def __init__(self, results: list[PartyResult], frac_bits: int = FRAC_BITS) -> None:
        self.results = results
        self._frac_bits = frac_bits

    @property
    def outputs(self) -> dict[str, Any]:
        """Outputs as floats."""
        return {name: decode(value, frac_bits=self._frac_bits) for name, value in self.ring.items()}

    @property
    def ring(self) -> dict[str, Any]:
        """Outputs as ring elements."""
        names = self.results[0].output_share
        return {name: combine([np.asarray(item.output_share[name]) for item in self.results]) for name in names}


class Fleet:
    """The processes. Use as a context manager.

    Args:
        parties: how many.
        engine: name of the back end.
        step_timeout_s: longest wait for one round of a link.
        max_frame_bytes: of the links.
        places: for each party words before its command (`ip netns exec NAME`) and the address that it listens on;
            without them all are on loopback. The dealer is next to the last party, and this process must be, too.

    Attributes:
        size: how many parties.
        addresses: their identities, by index.
    """

    def __init__(
        self,
        parties: int,
        *,
        engine: str = "crypten",
        step_timeout_s: float = 20.0,
        max_frame_bytes: int = 1 << 30,
        places: Sequence[tuple[list[str], str]] = (),
    ) -> None:
        self.size = parties
        self.engine = engine
        self.addresses: tuple[Address, ...] = tuple(Signer.generate().address for _ in range(parties))
        self._authority = CertificateAuthority.create("fleet")
        self._places = places or [([], HOST)] * parties
        hosts = [host for _, host in self._places]
        self._targets = tuple(f"{host}:{port}" for host, port in zip(hosts, free_ports(parties), strict=True))
        self._step_s, self._max_frame_bytes = step_timeout_s, max_frame_bytes
        self._children: dict[int, Child] = {}
        self._numbers = [0] * parties
        self._fixed: dict[bytes, FixedPoint] = {}
        self._dealer: DealerProcess | None = None
        self._ending = ExitStack()

    def __enter__(self) -> "Fleet":
        with ExitStack() as ending:
            directory = ending.enter_context(tempfile.TemporaryDirectory())
            self._dealer = DealerProcess(self._authority, Path(directory), self._places[-1][1])
            ending.callback(self._dealer.stop)
            ending.callback(self._close_children)
            self._dealer.start()
            self._launch(range(self.size))
            self._dealer.wait_until_serving()
            self._ending = ending.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    @property
    def party_pids(self) -> list[int]:
        """Of the parties, by index."""
        return [self._children[rank].pid for rank in range(self.size)]

    @property
    def dealer_pid(self) -> int:
        """Of the dealer."""
        if self._dealer is None:
            raise Unavailable("the fleet is used outside its context")
        return self._dealer.pid

    def load(self, graph: Graph, weights: Mapping[str, Any], fixed: FixedPoint = DEFAULT) -> None:
        """Split a model's secret weights (floats), and give every party its share and the public ones."""
        secret, bits = {name: weights[name] for name in weights if name not in graph.public_weights}, fixed.frac_bits
        public = {name: encode(weights[name], frac_bits=bits) for name in graph.public_weights}
        self.load_shares(graph, [{**share, **public} for share in self._split(secret, bits)], fixed)

    def load_shares(self, graph: Graph, shares: Sequence[Mapping[str, Any]], fixed: FixedPoint = DEFAULT) -> None:
        """Give every party its share (uint64 arrays by name) of a model."""
        blobs = {"graph": graph.to_bytes(), "session": secrets.token_bytes(16), "value_bits": bytes(fixed.value_bits)}
        fields: dict[str, Scalar] = {"seconds": SESSION_SECONDS, "frac_bits": fixed.frac_bits}
        self._fixed[graph.digest] = fixed
        encoded = [encode_tensors(share) for share in shares]
        self.call([Message("load", fields=fields, blobs={**blobs, "weights": weights}) for weights in encoded])

    def prepare(self, graph: Graph, batch: int, seconds: float = SESSION_SECONDS) -> Prepared:
        """Let the parties and the dealer make material for one evaluation of a loaded graph."""
        message = prepare_message(graph, batch, seconds=seconds)
        answers = self.call([message] * self.size)
        return Prepared(
            message.blob("material"),
            max(answer.real("offline_ms") for answer in answers),
            answers[0].integer("material_bytes"),
            answers[0].integer("correction_bytes"),
        )

    def infer(self, graph: Graph, inputs: Mapping[str, Any], material: Prepared | None = None) -> Inference:
        """One session on inputs (floats), with given or fresh material."""
        return self.infer_shares(graph, self._split(inputs, self._bits_of(graph)), material)

    def infer_shares(
        self, graph: Graph, shares: Sequence[Mapping[str, Any]], material: Prepared | None = None
    ) -> Inference:
        """One session on the parties' shares (uint64 arrays by name), with given or fresh material."""
        material = material or self.prepare(graph, next(iter(shares[0].values())).shape[0])
        answers = self.call(self._run_messages(graph, shares, material.material_id, SESSION_SECONDS))
        return Inference([result_of(answer) for answer in answers], self._bits_of(graph))

    def drop(self, material: Prepared) -> None:
        """Let the parties forget material, used or not."""
        self.call([Message("drop", blobs={"material": material.material_id})] * self.size)

    def run_messages(
        self, graph: Graph, inputs: Mapping[str, Any], material: Prepared, seconds: float = SESSION_SECONDS
    ) -> list[Message]:
        """What makes each party take part in a fresh session."""
        return self._run_messages(graph, self._split(inputs, self._bits_of(graph)), material.material_id, seconds)

    def start(self, messages: Sequence[Message], ranks: Iterable[int]) -> None:
        """Send parties their messages, those at their indices. A party that is gone shows in `finish`."""
        for rank in ranks:
            self._numbers[rank] += 1
            try:
                self._children[rank].send(replace(messages[rank], number=self._numbers[rank]))
            except ConnectionError:
                continue

    def finish(self, ranks: Iterable[int], seconds: float = CALL_SECONDS) -> list[Answer]:
        """The answers to the last messages, in the order of `ranks`; an error is an entry, not raised.

        Raises:
            TimeoutError: a party did not answer.
        """
        limit = time.monotonic() + seconds
        return [self._answer(rank, limit) for rank in ranks]

    def outcomes(self, messages: Sequence[Message]) -> list[Answer]:
        """Answers or errors of all parties to their messages."""
        self.start(messages, range(self.size))
        return self.finish(range(self.size))

    def call(self, messages: Sequence[Message]) -> list[Message]:
        """Answers of all parties to their messages; the first error is raised."""
        answers = []
        for answer in self.outcomes(messages):
            if isinstance(answer, MpcInferError):
                raise answer
            answers.append(answer)
        return answers

    def do(self, ranks: Iterable[int], function: Callable[..., Message | None], **arguments: Scalar) -> list[Message]:
        """Call ``function(worker, **arguments)`` inside parties. Only its file and name travel: its module is loaded
        there anew, so it should import little.
        """
        chosen = list(ranks)
        where: dict[str, Scalar] = {"file": inspect.getfile(function), "function": function.__name__}
        self.start([Message("do", fields={**arguments, **where})] * self.size, chosen)
        answers = []
        for answer in self.finish(chosen):
            if isinstance(answer, MpcInferError):
                raise answer
            answers.append(answer)
        return answers

    def signal(self, rank: int, number: int) -> None:
        """Send a signal to one party."""
        self._children[rank].signal(number)

    def restart(self, rank: int) -> None:
        """Replace one party by a new process, which knows no model and holds no material."""
        self._children[rank].kill()
        self._launch([rank])

    def _answer(self, rank: int, limit: float) -> Answer:
        try:
            answer = self._children[rank].receive(limit)
            while answer.number < self._numbers[rank]:  # to an earlier message, which somebody gave up waiting for
                answer = self._children[rank].receive(limit)
            return raise_error(answer)
        except MpcInferError as error:
            return error
        except (EOFError, ConnectionError):
            return Unavailable(f"party {rank} has ended", party=rank)

    def _launch(self, ranks: Iterable[int]) -> None:
        chosen = list(ranks)
        for rank in chosen:
            self._children[rank] = Child(f"party {rank}", "bench.worker", self._places[rank][0])
            self._children[rank].send(self._setup(rank))
        limit = time.monotonic() + START_SECONDS
        for rank in chosen:
            raise_error(self._children[rank].receive(limit))

    def _close_children(self) -> None:
        for child in self._children.values():
            child.hang_up()
        for child in self._children.values():
            child.close()

    def _setup(self, rank: int) -> Message:
        if self._dealer is None:
            raise Unavailable("the fleet is used outside its context")
        certificate, key = self._authority.issue(self.addresses[rank], "party", [self._places[rank][1]])
        setup = LaneSetup(
            number=0,
            rank=rank,
            addresses=self.addresses,
            targets=self._targets,
            credentials=TlsCredentials(self._authority.certificate_pem, certificate, key),
            dealer_target=self._dealer.target,
            dealer_address=self._dealer.address,
            dealer_key_id=self._dealer.key_id,
            engine=self.engine,
            opens_models=False,
            threads=1,
            material=Path(),  # a worker keeps none in files
            material_key=b"",
            ready_batches=0,
            ready_bytes=0,
            step_s=self._step_s,
            log_level="WARNING",
            log_json=False,
        ).to_message()
        return replace(setup, fields={**setup.fields, "max_frame_bytes": self._max_frame_bytes})

    def _bits_of(self, graph: Graph) -> int:
        return self._fixed.get(graph.digest, DEFAULT).frac_bits

    def _split(self, values: Mapping[str, Any], frac_bits: int) -> list[dict[str, Any]]:
        shares = {name: split(encode(value, frac_bits=frac_bits), self.size) for name, value in values.items()}
        return [{name: parts[rank] for name, parts in shares.items()} for rank in range(self.size)]

    def _run_messages(
        self, graph: Graph, shares: Sequence[Mapping[str, Any]], material_id: bytes, seconds: float
    ) -> list[Message]:
        fields: dict[str, Scalar] = {"addresses": " ".join(self.addresses), "seconds": seconds}
        session = {"session": secrets.token_bytes(16), "job": bytes(32), "model": graph.digest}
        blobs = {"graph": graph.digest, "material": material_id, **session}
        return [Message("run", fields=fields, blobs={**blobs, "inputs": encode_tensors(share)}) for share in shares]


def prepare_message(
    graph: Graph, batch: int, *, material_id: bytes | None = None, seconds: float = SESSION_SECONDS
) -> Message:
    """What makes a party take part in the making of material, with a fresh id unless one is given."""
    blobs = {"graph": graph.digest, "material": material_id or secrets.token_bytes(16)}
    return Message("prepare", fields={"rows": batch, "seconds": seconds}, blobs=blobs)


def with_blob(message: Message, name: str, value: bytes) -> Message:
    """The message with other bytes in one place."""
    return replace(message, blobs={**message.blobs, name: value})
