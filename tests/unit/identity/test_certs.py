import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mpc_infer.errors import InvalidInput, NotAuthenticated
from mpc_infer.identity import CertificateAuthority, Peer, Role, Signer, identity_host, peer_identity, tls_key_hash

ADDRESS = Signer.generate().address
HOST = identity_host(ADDRESS, "party")


def with_names(*names: x509.GeneralName | None) -> bytes:
    """A certificate with these alternative names, whoever made it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ADDRESS)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    if names != (None,):
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def role_uri(role: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(f"urn:mpc-infer:role:{role}")


@pytest.mark.parametrize("role", list(Role))
def test_a_certificate_carries_its_identity(authority, role):
    pem, _ = authority.issue(ADDRESS, role, ["party-0.example.org", "127.0.0.1", "::1"], 30)
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    assert peer_identity(pem) == peer_identity(der) == Peer(ADDRESS, role)


def test_a_certificate_says_what_it_may_do(authority):
    certificate = x509.load_pem_x509_certificate(authority.issue(ADDRESS, "party", ["a.example", "10.1.2.3"], 30)[0])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert names.get_values_for_type(x509.DNSName) == [HOST, "a.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.1.2.3")]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert set(usages) == {x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH}
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc < datetime.timedelta(days=31)


def test_the_identity_host_has_no_prefix_and_no_capitals():
    assert f"{ADDRESS[2:].lower()}.party.mpc-infer.internal" == HOST


@pytest.mark.parametrize(
    "names",
    [
        (None,),
        (x509.DNSName(HOST),),
        (role_uri("party"),),
        (x509.DNSName(HOST), x509.DNSName(identity_host(Signer.generate().address, "party")), role_uri("party")),
        (x509.DNSName(HOST), role_uri("party"), role_uri("coordinator")),
        (x509.DNSName(HOST), role_uri("king")),
        (x509.DNSName(HOST), role_uri("client")),
        (x509.DNSName(f"{ADDRESS[2:].lower()}.mpc-infer.internal"), role_uri("party")),
        (x509.DNSName(f"{ADDRESS[2:].lower()}.party.party.mpc-infer.internal"), role_uri("party")),
        (x509.DNSName(HOST + ".example"), role_uri("party")),
        (x509.DNSName("x" + HOST), role_uri("party")),
        (x509.DNSName("a." + HOST), role_uri("party")),
        (x509.DNSName("*.mpc-infer.internal"), role_uri("party")),
        (
            x509.DNSName(HOST),
            x509.DNSName(identity_host(Signer.generate().address, "party").upper()),
            role_uri("party"),
        ),
    ],
)
def test_without_exactly_one_identity_and_role_nobody_is_known(names):
    with pytest.raises(NotAuthenticated):
        peer_identity(with_names(*names))


@pytest.mark.parametrize("data", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\n", b"\x30" * 20_000])
def test_what_is_no_certificate_is_refused(data):
    with pytest.raises(NotAuthenticated):
        peer_identity(data)


@pytest.mark.parametrize(
    "host",
    ["", "a b\u00e9", HOST, HOST.upper(), f"{HOST}.", "mpc-infer.internal"],
    ids=["empty", "not a name", "an identity", "in capitals", "with a dot", "the suffix"],
)
def test_hosts_cannot_be_identities_or_nonsense(authority, host):
    with pytest.raises(InvalidInput):
        authority.issue(ADDRESS, "party", [host], 1)


def test_roles_are_known(authority):
    with pytest.raises(InvalidInput):
        authority.issue(ADDRESS, "king", [], 1)


def test_an_authority_survives_its_files(authority):
    again = CertificateAuthority.from_pem(authority.certificate_pem, authority.private_pem())
    assert again.certificate_pem == authority.certificate_pem
    issued = x509.load_pem_x509_certificate(again.issue(ADDRESS, "client")[0])
    issued.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate_pem))


def test_an_authority_needs_its_own_key(authority):
    other = CertificateAuthority.create("other")
    for key in (other.private_pem(), b"junk", b""):
        with pytest.raises(InvalidInput):
            CertificateAuthority.from_pem(authority.certificate_pem, key)


def test_the_registry_can_name_a_tls_key(authority):
    first, second = (authority.issue(ADDRESS, "party")[0] for _ in range(2))
    assert len(tls_key_hash(first)) == 32
    assert tls_key_hash(first) == tls_key_hash(first) != tls_key_hash(second)
