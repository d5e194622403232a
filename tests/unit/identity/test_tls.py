import socket
import ssl
import threading

import pytest

from mpc_infer.errors import ConfigError
from mpc_infer.identity import (
    CertificateAuthority,
    Role,
    TlsCredentials,
    client_context,
    identity_host,
    peer_identity,
    server_context,
)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str):
    """Both ends of a real connection: each a TLS socket, or the error that ended it."""
    left, right = socket.socketpair()
    ends: dict[str, object] = {}

    def accept() -> None:
        try:
            ends["server"] = server.wrap_socket(left, server_side=True)
            ends["server"].settimeout(10)
            ends["received"] = ends["server"].recv(4)
        except OSError as error:
            ends["server"] = error
            left.close()

    left.settimeout(10)
    right.settimeout(10)
    thread = threading.Thread(target=accept)
    thread.start()
    try:
        ends["client"] = client.wrap_socket(right, server_hostname=host)
        ends["client"].sendall(b"ping")
    except OSError as error:
        ends["client"] = error
        right.close()
    thread.join(20)
    return ends


def test_both_ends_know_who_the_other_is(issue):
    (one, serving), (two, dialling) = issue("party"), issue("coordinator")
    ends = handshake(server_context(serving), client_context(dialling), identity_host(one.address, "party"))
    assert ends["received"] == b"ping"
    assert ends["client"].version() == "TLSv1.3"
    seen_by_server = peer_identity(ends["server"].getpeercert(binary_form=True))
    seen_by_client = peer_identity(ends["client"].getpeercert(binary_form=True))
    assert (seen_by_server.address, seen_by_server.role) == (two.address, Role.COORDINATOR)
    assert (seen_by_client.address, seen_by_client.role) == (one.address, Role.PARTY)
    ends["server"].close()
    ends["client"].close()


def test_a_server_of_another_identity_is_refused(issue):
    (_, serving), (other, dialling) = issue(), issue()
    ends = handshake(server_context(serving), client_context(dialling), identity_host(other.address, "party"))
    assert isinstance(ends["client"], ssl.SSLCertVerificationError)
    assert isinstance(ends["server"], OSError)


def test_a_server_of_another_role_is_refused_even_with_the_same_address(issue):
    (one, serving), (_, dialling) = issue("client"), issue()
    ends = handshake(server_context(serving), client_context(dialling), identity_host(one.address, "party"))
    assert isinstance(ends["client"], ssl.SSLCertVerificationError)


def test_a_server_of_another_authority_is_refused(issue, authority):
    foreign = CertificateAuthority.create("foreign")
    (one, serving), (_, dialling) = issue(by=foreign), issue()
    ends = handshake(server_context(serving), client_context(dialling), identity_host(one.address, "party"))
    assert isinstance(ends["client"], ssl.SSLCertVerificationError)


def test_a_client_of_another_authority_is_refused(issue):
    foreign = CertificateAuthority.create("foreign")
    (one, serving), (_, dialling) = issue(), issue(by=foreign)
    ends = handshake(server_context(serving), client_context(dialling), identity_host(one.address, "party"))
    assert isinstance(ends["server"], ssl.SSLCertVerificationError)
    assert "received" not in ends


def test_a_client_without_a_certificate_is_refused(issue, authority):
    one, serving = issue()
    bare = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    ends = handshake(server_context(serving), bare, identity_host(one.address, "party"))
    assert isinstance(ends["server"], ssl.SSLError)
    assert "received" not in ends


def test_an_expired_certificate_is_refused(issue):
    (one, serving), (_, dialling) = issue(), issue(days=0)
    ends = handshake(server_context(serving), client_context(dialling), identity_host(one.address, "party"))
    # `days=0` ends at the moment of issue.
    assert isinstance(ends["server"], ssl.SSLCertVerificationError)


def test_older_tls_is_refused(issue):
    (one, serving), (_, dialling) = issue(), issue()
    old = client_context(dialling)
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    ends = handshake(server_context(serving), old, identity_host(one.address, "party"))
    assert isinstance(ends["server"], ssl.SSLError)
    assert isinstance(ends["client"], OSError)


@pytest.mark.parametrize("part", ["ca_pem", "cert_pem", "key_pem"])
@pytest.mark.parametrize("junk", [b"", b"junk", b"\xff\xfe"])
def test_unusable_files_are_a_configuration_error(issue, part, junk):
    _, good = issue()
    parts = {name: getattr(good, name) for name in ("ca_pem", "cert_pem", "key_pem")} | {part: junk}
    with pytest.raises(ConfigError):
        client_context(TlsCredentials(**parts))


def test_a_key_of_another_certificate_is_a_configuration_error(issue):
    (_, first), (_, second) = issue(), issue()
    with pytest.raises(ConfigError):
        server_context(TlsCredentials(first.ca_pem, first.cert_pem, second.key_pem))


def test_the_private_key_is_not_shown(issue):
    _, credentials = issue()
    assert "PRIVATE" not in repr(credentials)
