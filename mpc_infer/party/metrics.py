"""A party's metrics for Prometheus: the stock of material by model and rows. Counts, nothing of any job or owner. ::

    mpc_infer_material_ready{model,name,rows}           batches that may be used
    mpc_infer_material_ready_bytes{model,name,rows}     of their files
    mpc_infer_material_oldest_seconds{model,name,rows}  Unix time at which the oldest of them was made
    mpc_infer_material_consumed_total{model,name,rows}  batches that sessions used
    mpc_infer_material_dropped_total{model,name,rows}   batches that were given up

All are read from the ledger when somebody asks, so that they go on after a restart.
"""

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mpc_infer.errors import ConfigError, StoreError
from mpc_infer.party.stock_report import StockLine
from mpc_infer.telemetry import Log

_LOG = Log("party.metrics")
_LABELS = ("model", "name", "rows")
_REQUEST_S = 5.0


class StockCollector(Collector):
    """Makes metrics of what `read` says.

    Args:
        read: the stock; called by the thread that answers a request.
    """

    def __init__(self, read: Callable[[], Iterable[StockLine]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing: so that the database is not read when this is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The metrics, now.

        Raises:
            StoreError: the ledger cannot be read; the request fails.
        """
        try:
            lines = list(self._read())
        except StoreError as error:
            _LOG.error("metrics cannot be read", exception=error)
            raise
        prefix = "mpc_infer_material"
        ready = GaugeMetricFamily(f"{prefix}_ready", "Batches that may be used.", labels=_LABELS)
        size = GaugeMetricFamily(f"{prefix}_ready_bytes", "Bytes of their files.", labels=_LABELS)
        oldest = GaugeMetricFamily(f"{prefix}_oldest_seconds", "Unix time of the oldest.", labels=_LABELS)
        consumed = CounterMetricFamily(f"{prefix}_consumed", "Batches that sessions used.", labels=_LABELS)
        dropped = CounterMetricFamily(f"{prefix}_dropped", "Batches that were given up.", labels=_LABELS)
        for line in lines:
            count = line.count
            labels = (count.model_hash.hex(), line.name, str(count.rows))
            ready.add_metric(labels, count.ready)
            size.add_metric(labels, count.ready_bytes)
            consumed.add_metric(labels, count.consumed)
            dropped.add_metric(labels, count.dropped)
            if count.oldest_ms is not None:
                oldest.add_metric(labels, count.oldest_ms / 1000)
        yield from (ready, size, oldest, consumed, dropped)


class MetricsServer:
    """Answers on plain HTTP, one request at a time, each within seconds.

    Args:
        host, port: where.
        collector: what is shown.

    Raises:
        ConfigError: the port cannot be had.
    """

    def __init__(self, host: str, port: int, collector: Collector) -> None:
        registry = CollectorRegistry()
        registry.register(collector)
        try:
            self._server: WSGIServer = make_server(host, port, make_wsgi_app(registry), handler_class=_Handler)
        except OSError as error:
            raise ConfigError(f"metrics cannot be served on {host}:{port}: {error.strerror}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join(_REQUEST_S)
        self._server.server_close()


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_S

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody wants a line for each time."""

    def get_stderr(self) -> Any:
        """Tracebacks are logged where they come from, without texts."""
        return io.StringIO()
