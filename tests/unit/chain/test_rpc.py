"""The JSON-RPC door against nodes that do not do what they should."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mpc_infer.chain import rpc as door
from mpc_infer.chain.rpc import JsonRpc, RpcError
from mpc_infer.errors import ChainError, ChainUnavailable, ConfigError

Answer = Callable[[dict[str, object]], bytes]


@contextmanager
def node(answer: Answer, *, status: int = 200, keep: bool = True) -> Iterator[str]:
    """A node that answers as it is told."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            # Gone without saying so, as a restarted node is.
            self.close_connection = not keep

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def result(value: object) -> Answer:
    return lambda request: json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": value}).encode()


def test_a_result_is_returned() -> None:
    with node(result("0x7a69")) as url:
        rpc = JsonRpc(url)
        assert [rpc.call("eth_chainId") for _ in range(3)] == ["0x7a69"] * 3


def test_a_null_result_is_a_result() -> None:
    with node(result(None)) as url:
        assert JsonRpc(url).call("eth_getTransactionReceipt", "0x00") is None


def test_a_closed_connection_is_opened_again() -> None:
    with node(result(1), keep=False) as url:
        rpc = JsonRpc(url)
        assert [rpc.call("eth_chainId") for _ in range(3)] == [1, 1, 1]


def test_errors_carry_code_and_data() -> None:
    error = {"code": 3, "message": "execution reverted", "data": "0x08c379a0"}
    with (
        node(lambda request: json.dumps({"id": request["id"], "error": error}).encode()) as url,
        pytest.raises(RpcError, match="execution reverted") as caught,
    ):
        JsonRpc(url).call("eth_call")
    assert (caught.value.rpc_code, caught.value.data) == (3, bytes.fromhex("08c379a0"))


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"[]", b"{}", b'{"id":99,"result":1}', b'{"error":"text"}', b"[" * 10**5]
)
def test_what_is_not_json_rpc_is_refused(body: bytes) -> None:
    with node(lambda _: body) as url, pytest.raises(ChainError):
        JsonRpc(url).call("eth_chainId")


def test_an_endless_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MAX_ANSWER_BYTES", 1000)
    with node(result("x" * 2000)) as url, pytest.raises(ChainError, match="more than 1000 bytes"):
        JsonRpc(url).call("eth_chainId")


def test_http_errors_are_unavailability() -> None:
    with node(lambda _: b"bad gateway", status=502) as url, pytest.raises(ChainUnavailable, match="502"):
        JsonRpc(url).call("eth_chainId")


def test_nobody_listening_is_unavailability() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/secret-key"
        with pytest.raises(ChainUnavailable) as caught:
            JsonRpc(url).call("eth_chainId")
    assert "secret-key" not in str(caught.value)


def test_a_silent_node_is_unavailability() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        rpc = JsonRpc(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)
        with pytest.raises(ChainUnavailable, match="Timeout"):
            rpc.call("eth_chainId")


def test_a_dripping_node_is_unavailability() -> None:
    def drip(request: dict[str, object]) -> bytes:
        time.sleep(0.3)
        return b"{}"

    with node(drip) as url, pytest.raises(ChainUnavailable):
        JsonRpc(url, timeout_s=0.1).call("eth_chainId")


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://", "localhost:8545", "http://user:pass@host", "http://host:port"]
)
def test_wrong_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        JsonRpc(url)


def test_threads_have_connections_of_their_own() -> None:
    with node(lambda request: json.dumps({"id": request["id"], "result": request["params"]}).encode()) as url:
        rpc, wrong = JsonRpc(url), []

        def ask(number: int) -> None:
            if any(rpc.call("echo", number, turn) != [number, turn] for turn in range(20)):
                wrong.append(number)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert wrong == []
