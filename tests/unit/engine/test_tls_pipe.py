"""TLS apart from its socket: over a pair of real sockets, whatever pieces the kernel takes and gives."""

import select
import socket
import ssl
import threading
import time

import pytest

from mpc_infer.engine.tls_pipe import CHUNK_BYTES, TlsPipe
from mpc_infer.identity import CertificateAuthority, Signer, TlsCredentials
from mpc_infer.identity.certs import identity_host
from mpc_infer.identity.tls import client_context, server_context

AUTHORITY = CertificateAuthority.create("test")
SECONDS = 5.0


def credentials(authority=AUTHORITY):
    address = Signer.generate().address
    pair = authority.issue(address, "party", ["127.0.0.1"])
    return address, TlsCredentials(authority.certificate_pem, *pair)


def pair(*, hostname=None, authority=AUTHORITY):
    """A dialling and an accepting end, not yet greeted."""
    left, right = socket.socketpair()
    for sock in (left, right):
        sock.setblocking(False)
    (_, ours), (address, theirs) = credentials(authority), credentials()
    name = hostname or identity_host(address, "party")
    client = TlsPipe(left, client_context(ours), server_side=False, hostname=name)
    server = TlsPipe(right, server_context(theirs), server_side=True, hostname=None)
    return client, server


def greeted(**options):
    ends = pair(**options)
    done, until = [False, False], time.monotonic() + SECONDS
    while not all(done):
        assert time.monotonic() < until
        done = [one or end.shake_hands() for one, end in zip(done, ends, strict=True)]
    return ends


def move(sender, receiver, data):
    """Send everything, reading on the other side whenever the kernel takes no more."""
    sent, room, read = 0, bytearray(len(data)), 0
    until = time.monotonic() + SECONDS
    while read < len(data):
        assert time.monotonic() < until
        if not sender.sending or sender.flush():
            sent += sender.send(memoryview(data)[sent:])
        read += receiver.receive_into(memoryview(room)[read:])
    return bytes(room), sent


@pytest.mark.parametrize("size", [1, 100, CHUNK_BYTES - 1, CHUNK_BYTES + 1, 5_000_000])
def test_every_byte_arrives_in_both_directions(size):
    client, server = greeted()
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    assert move(client, server, data) == (data, size)
    assert move(server, client, data) == (data, size)
    assert not client.sending
    assert not server.buffered


def test_what_the_kernel_does_not_take_waits():
    client, server = greeted()
    data = bytes(50_000_000)
    taken = client.send(memoryview(data))
    assert taken < len(data)
    assert client.sending
    assert client.send(memoryview(data)) == 0
    assert not client.flush()
    room = bytearray(taken)
    read, until = 0, time.monotonic() + SECONDS
    while read < taken:
        assert time.monotonic() < until
        client.flush()
        read += server.receive_into(memoryview(room)[read:])
    assert client.flush()


def test_nothing_to_read_is_no_error():
    client, server = greeted()
    assert server.receive_into(memoryview(bytearray(10))) == 0
    client.send(memoryview(b"abc"))
    assert select.select([server.fileno()], [], [], SECONDS)[0]
    room = bytearray(2)
    assert server.receive_into(memoryview(room)) == 2
    # The kernel has nothing more, and poll would not tell.
    assert server.buffered
    assert server.receive_into(memoryview(room)) == 1


def test_what_came_before_the_end_is_read_first():
    client, server = greeted()
    client.send(memoryview(b"last"))
    client.close()
    client.close()
    room = bytearray(10)
    assert server.receive_into(memoryview(room)) == 4
    with pytest.raises(EOFError):
        server.receive_into(memoryview(room))


def test_the_peers_certificate_is_known():
    client, server = greeted()
    assert client.certificate
    assert server.certificate
    assert client.certificate != server.certificate


@pytest.mark.parametrize(
    "options",
    [{"hostname": "somebody.else"}, {"authority": CertificateAuthority.create("other")}],
    ids=["another name", "another authority"],
)
def test_strangers_are_refused(options):
    client, server = pair(**options)
    until = time.monotonic() + SECONDS

    def shake():
        while time.monotonic() < until:
            client.shake_hands()
            server.shake_hands()

    with pytest.raises(ssl.SSLError):
        shake()


@pytest.mark.parametrize("noise", [b"x", b"\x17\x03\x03\x00\x40" + bytes(64), bytes(100_000)])
def test_noise_is_an_error(noise):
    client, server = greeted()
    client._sock.send(noise)
    if len(noise) == 1:
        client.close()
    with pytest.raises((OSError, EOFError)):
        read_on(server)


def read_on(pipe):
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        pipe.receive_into(memoryview(bytearray(10)))


@pytest.mark.parametrize("after", [b"", b"more", bytes(100_000)])
def test_a_peer_that_says_good_bye_and_more_is_closed(after):
    client, server = greeted()
    client.send(memoryview(b"last"))
    try:
        client._tls.unwrap()
    except ssl.SSLWantReadError:
        client.flush()
    client._sock.send(after)
    client.close()
    found = []

    def read():
        room = memoryview(bytearray(10))
        try:
            while len(found) < 5:
                found.append(server.receive_into(room))
        except (OSError, EOFError) as error:
            found.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(SECONDS)
    assert not reader.is_alive()
    assert found[0] == 4
    assert isinstance(found[-1], (OSError, EOFError)), found
