"""The embedded chain over HTTP, on loopback unless it is told otherwise.

``python -m mpc_infer.chain.embedded_server --port 8545 --fund 0x...``
"""

import argparse
import ipaddress
import json
import signal
import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mpc_infer.chain.embedded import EmbeddedChain
from mpc_infer.chain.embedded_rpc import Dispatcher
from mpc_infer.errors import ConfigError
from mpc_infer.ids import Address
from mpc_infer.telemetry import Log

MAX_REQUEST_BYTES = 1024 * 1024
MAX_BATCH = 100
_IDLE_S = 60.0

_log = Log("chain.embedded")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], dispatcher: Dispatcher) -> None:
        super().__init__(address, _Handler)
        self.dispatcher = dispatcher


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    # Head and body go out in one packet; in two, the second would wait 40 ms for the first one's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        """One request, or a list of them."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > MAX_REQUEST_BYTES:
            self.close_connection = True
            return self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _error("a request has at most 1 MiB, and says so"))
        try:
            request = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            return self._send(HTTPStatus.BAD_REQUEST, _error("not JSON"))
        self._send(HTTPStatus.OK, self._answers(request))

    def log_message(self, format: str, *args: Any) -> None:
        """No line per request."""

    def _answers(self, request: Any) -> Any:
        answer = self.server.dispatcher.answer
        if not isinstance(request, list):
            return answer(request)
        if not 0 < len(request) <= MAX_BATCH:
            return _error(f"a batch has 1 to {MAX_BATCH} requests")
        return [answer(item) for item in request]

    def _send(self, status: HTTPStatus, answer: Any) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve_eth_tester(host: str, port: int, *, funded: Sequence[Address] = (), exposed: bool = False) -> None:
    """Serve a fresh chain until the process is told to end (SIGTERM or SIGINT).

    Args:
        host: a loopback address: whoever can reach the chain can use it.
        port: where to listen; 0 for any free port.
        funded: who owns coins from the start.
        exposed: allow any address, as inside a container, whose network decides who gets there.

    Raises:
        ConfigError: the address is not on loopback, or taken.
    """
    if not exposed and not ipaddress.ip_address(host).is_loopback:
        raise ConfigError(f"a development chain listens on loopback only, not on {host}")
    dispatcher = Dispatcher(EmbeddedChain(funded))
    try:
        server = _Server((host, port), dispatcher)
    except OSError as error:
        raise ConfigError(f"{host}:{port} cannot be listened on: {error}") from error
    _log.info("serving", host=host, port=server.server_port)
    with server:
        server.serve_forever(poll_interval=0.1)


def _error(message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": message}}


def _stop(number: int, frame: Any) -> None:
    sys.exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="An EVM chain in one process, on loopback")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8545)
    parser.add_argument("--fund", action="append", default=[], metavar="ADDRESS")
    parser.add_argument("--exposed", action="store_true", help="allow a host that is not on loopback")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    serve_eth_tester(options.host, options.port, funded=options.fund, exposed=options.exposed)


if __name__ == "__main__":
    main()
