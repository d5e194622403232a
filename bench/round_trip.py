"""One round trip of 1 KiB over mutual TLS between two processes: in a gRPC stream, and on a blocking socket (ADR 4).

Run as: python -m bench.round_trip [--rounds 2000]
"""

import argparse
import os
import signal
import socket
import statistics
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import grpc

from mpc_infer.identity.certs import CertificateAuthority
from mpc_infer.identity.signer import Signer
from mpc_infer.identity.tls import TlsCredentials, client_context, server_context

HOST, SIZE = "localhost", 1024
METHOD = "/bench.Echo/Echo"
LONGEST_S = 60.0
Serve = Callable[[TlsCredentials, int], None]
_PORT = struct.Struct("<H")


def serve_socket(credentials: TlsCredentials, ready: int) -> None:
    """Echo on one connection."""
    with socket.create_server((HOST, 0)) as listener:
        os.write(ready, _PORT.pack(listener.getsockname()[1]))
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with server_context(credentials).wrap_socket(accepted, server_side=True) as connection:
            while data := connection.recv(SIZE):
                connection.sendall(data)


def serve_grpc(credentials: TlsCredentials, ready: int) -> None:
    """Echo every message of a stream."""
    server = grpc.server(ThreadPoolExecutor(1))
    echo = grpc.stream_stream_rpc_method_handler(lambda messages, _: messages)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Echo": echo}),))
    pair = [(credentials.key_pem, credentials.cert_pem)]
    port = server.add_secure_port(f"{HOST}:0", grpc.ssl_server_credentials(pair, credentials.ca_pem, True))
    server.start()
    os.write(ready, _PORT.pack(port))
    server.wait_for_termination(LONGEST_S)


def time_socket(credentials: TlsCredentials, port: int, rounds: int) -> list[float]:
    """Seconds of each round trip on a blocking socket."""
    with socket.create_connection((HOST, port), timeout=LONGEST_S) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client_context(credentials).wrap_socket(plain, server_hostname=HOST) as connection:

            def once() -> None:
                connection.sendall(bytes(SIZE))
                left = SIZE
                while left:
                    left -= len(connection.recv(left))

            return _timed(once, rounds)


def time_grpc(credentials: TlsCredentials, port: int, rounds: int) -> list[float]:
    """Seconds of each round trip in one stream."""
    tls = grpc.ssl_channel_credentials(credentials.ca_pem, credentials.key_pem, credentials.cert_pem)
    messages: SimpleQueue[bytes] = SimpleQueue()
    with grpc.secure_channel(f"{HOST}:{port}", tls) as channel:
        answers: Any = channel.stream_stream(METHOD, None, None)(iter(messages.get, b""), timeout=LONGEST_S)

        def once() -> None:
            messages.put(bytes(SIZE))
            next(answers)

        return _timed(once, rounds)


def _timed(once: Callable[[], None], rounds: int) -> list[float]:
    found = []
    for _ in range(rounds + rounds // 10):
        began = time.perf_counter()
        once()
        found.append(time.perf_counter() - began)
    return found[-rounds:]


def _in_child(serve: Serve, credentials: TlsCredentials) -> tuple[int, int]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(int(LONGEST_S))
        serve(credentials, writing)
        os._exit(0)
    (port,) = _PORT.unpack(os.read(reading, _PORT.size))
    return child, port


def medians(rounds: int) -> dict[str, float]:
    """Microseconds of the median round trip on a socket and in a gRPC stream."""
    authority = CertificateAuthority.create("bench")
    certificate, key = authority.issue(Signer.generate().address, "party", [HOST])
    credentials = TlsCredentials(authority.certificate_pem, certificate, key)
    children = [_in_child(serve, credentials) for serve in (serve_socket, serve_grpc)]
    try:
        return {
            name: statistics.median(measure(credentials, port, rounds)) * 1e6
            for name, measure, (_, port) in zip(("socket", "gRPC"), (time_socket, time_grpc), children, strict=True)
        }
    finally:
        for child, _ in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def main() -> None:
    """Print both medians in microseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    for name, microseconds in medians(parser.parse_args().rounds).items():
        print(f"{name}: {microseconds:.0f} us")


if __name__ == "__main__":
    main()
