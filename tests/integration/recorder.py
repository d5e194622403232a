"""A TCP proxy in front of every socket of a network, which keeps every byte in both directions."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from mpc_infer.devnet.topology import Endpoint, Topology


def endpoints(topology: Topology) -> dict[str, Endpoint]:
    """Every endpoint of a network by name."""
    found = {"chain": topology.chain, "coordinator": topology.coordinator, "dealer": topology.dealer}
    for index, place in enumerate(topology.parties):
        found[f"party{index}"] = place.service
        found |= {f"party{index}-lane{number}": lane for number, lane in enumerate(place.lanes)}
    return found


class Recorder:
    """Listens where roles dial, connects to where they are bound, and records."""

    def __init__(self, topology: Topology) -> None:
        self._endpoints = endpoints(topology)
        self.streams: dict[str, list[bytearray]] = defaultdict(list)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers: list[asyncio.Server] = []

    async def _listen(self) -> None:
        for name, end in self._endpoints.items():
            handler = self._handler(name, end)
            self._servers.append(await asyncio.start_server(handler, end.host, end.port))

    def _handler(self, name: str, end: Endpoint):
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                far_reader, far_writer = await asyncio.open_connection(end.bind_host, end.bind_port)
            except OSError:
                writer.close()
                return
            await asyncio.gather(self._pump(name, reader, far_writer), self._pump(name, far_reader, writer))

        return handle

    async def _pump(self, name: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        record = bytearray()
        self.streams[name].append(record)
        try:
            while data := await source.read(65_536):
                record += data
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()

    def recorded(self, names: Sequence[str] | None = None) -> list[tuple[str, bytes]]:
        """Every stream: its endpoint's name and its bytes."""
        chosen = self.streams if names is None else {name: self.streams[name] for name in names}
        return [(name, bytes(record)) for name, records in list(chosen.items()) for record in list(records)]

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async def close() -> None:
            for server in self._servers:
                server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0.1)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
