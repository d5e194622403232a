"""The door to a chain's node: JSON-RPC over HTTP, with deadlines, size limits and our own errors.

Written on the standard library: importing web3 takes two seconds, which every client and every party would pay, and its
provider reads answers of any length.
"""

import http.client
import itertools
import json
import threading
import time
from typing import Any
from urllib.parse import SplitResult, urlsplit

from mpc_infer.encoding import parse_json
from mpc_infer.errors import ChainError, ChainUnavailable, ConfigError, InvalidRequest

MAX_ANSWER_BYTES = 8 * 1024 * 1024
_CHUNK = 64 * 1024


class RpcError(ChainError):
    """The node answered with an error.

    Args:
        message: what the node says.
        code: its number.
        data: what a reverted call returned, or empty.
    """

    def __init__(self, message: str, *, code: int, data: bytes = b"") -> None:
        super().__init__(message)
        self.rpc_code = code
        self.data = data


class JsonRpc:
    """Calls to one node. Safe to use from many threads: each has its own connection."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self._url = _checked(url)
        self._headers = {"Content-Type": "application/json"}
        self._timeout_s = timeout_s
        self._ids = itertools.count(1)
        self._local = threading.local()

    @property
    def where(self) -> str:
        """Host and port, for messages. The rest of the URL may hold a key."""
        return f"{self._url.hostname}:{self._url.port or self._url.scheme}"

    def call(self, method: str, *params: Any) -> Any:
        """One request, one answer.

        Raises:
            ChainUnavailable: no answer within the time allowed.
            RpcError: the node refused.
            ChainError: the answer is not JSON-RPC, or too large.
        """
        number = next(self._ids)
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()
        answer = _parsed(self._post(body))
        if answer.get("error") is not None:
            raise _rpc_error(answer["error"])
        if answer.get("id") != number or "result" not in answer:
            raise ChainError(f"the chain's node at {self.where} answered something else than was asked")
        return answer["result"]

    def _post(self, body: bytes) -> bytes:
        deadline = time.monotonic() + self._timeout_s
        kept = getattr(self._local, "connection", None) is not None
        try:
            return self._exchange(body, deadline)
        except (OSError, http.client.HTTPException) as error:
            self._disconnect()
            # The node may have closed a connection that was kept: try once more, on a new one.
            if not kept or isinstance(error, TimeoutError):
                raise self._unavailable(error) from error
        try:
            return self._exchange(body, deadline)
        except (OSError, http.client.HTTPException) as error:
            self._disconnect()
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> ChainUnavailable:
        return ChainUnavailable(
            f"the chain's node at {self.where} does not answer: {type(error).__name__}",
            remedy="start it, or correct rpc_url in the configuration",
        )

    def _exchange(self, body: bytes, deadline: float) -> bytes:
        connection = self._connection()
        connection.request("POST", self._path(), body, self._headers)
        with connection.getresponse() as response:
            data = _read(response, deadline)
        if response.status != http.HTTPStatus.OK and not data.startswith(b"{"):
            raise ChainUnavailable(f"the chain's node at {self.where} answered HTTP {response.status}")
        return data

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            secure = self._url.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            connection = kind(self._url.hostname or "", self._url.port, timeout=self._timeout_s)
            self._local.connection = connection
        return connection

    def _disconnect(self) -> None:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _path(self) -> str:
        return (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as error:
        raise ConfigError("rpc_url is not a URL") from error
    if not usable or parts.username is not None:
        raise ConfigError("rpc_url must be http://host:port or https://host[:port][/path], without a user name")
    return parts


def _read(response: http.client.HTTPResponse, deadline: float) -> bytes:
    data = bytearray()
    while chunk := response.read1(_CHUNK):
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            raise ChainError(f"the chain's node answered more than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError("the answer came too slowly")
    return bytes(data)


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        answer = parse_json(data, max_bytes=MAX_ANSWER_BYTES)
    except InvalidRequest as error:
        raise ChainError("the chain's node answered something that is not JSON") from error
    if not isinstance(answer, dict):
        raise ChainError("the chain's node answered something that is not JSON-RPC")
    return answer


def _rpc_error(error: Any) -> RpcError:
    if not isinstance(error, dict):
        return RpcError("the chain's node reports an error without saying which", code=0)
    data = error.get("data")
    try:
        raw = bytes.fromhex(data.removeprefix("0x")) if isinstance(data, str) else b""
    except ValueError:
        raw = b""
    code = error.get("code")
    return RpcError(str(error.get("message", ""))[:500], code=code if isinstance(code, int) else 0, data=raw)
