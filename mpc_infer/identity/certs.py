"""X.509 certificates that carry an identity: its address and role as a DNS name, its role as a URN too."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mpc_infer.encoding import address_bytes, to_address
from mpc_infer.errors import InvalidInput, InvalidRequest, NotAuthenticated
from mpc_infer.ids import Address

DOMAIN = "mpc-infer.internal"
ROLE_PREFIX = "urn:mpc-infer:role:"
MAX_CERTIFICATE_BYTES = 16 * 1024
_CA_DAYS = 3650
_BACKDATED = datetime.timedelta(hours=1)  # clocks of two machines differ


class Role(StrEnum):
    """What the holder of a certificate is."""

    CLIENT = "client"
    PARTY = "party"
    DEALER = "dealer"
    COORDINATOR = "coordinator"
    OPERATOR = "operator"


@dataclass(frozen=True)
class Peer:
    """Who is at the other end of a connection."""

    address: Address
    role: Role


def identity_host(address: Address, role: str) -> str:
    """The DNS name under which a certificate is checked: ``<40 hex digits>.<role>.mpc-infer.internal``.

    The role is part of it because the dialling side of gRPC checks names only: the certificate that makes somebody a
    client must not let them stand in for a party, not even for one of the same address.
    """
    return f"{address_bytes(address).hex()}.{role}.{DOMAIN}"


class CertificateAuthority:
    """Issues the certificates of one consortium. Its key decides who is who: keep it off the parties' machines."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls, name: str, *, days: int = _CA_DAYS) -> "CertificateAuthority":
        """A fresh authority with a self-signed certificate and a P-256 key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(name)
        builder = _builder(subject, subject, key.public_key(), days)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(authority=True), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def from_pem(cls, certificate_pem: bytes, key_pem: bytes) -> "CertificateAuthority":
        """An authority that was kept.

        Raises:
            InvalidInput: not a certificate and its P-256 key.
        """
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
            key = serialization.load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError) as error:
            raise InvalidInput("these are not the PEM files of a certificate authority") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise InvalidInput("the key is not the certificate's")
        return cls(certificate, key)

    @property
    def certificate_pem(self) -> bytes:
        """What everybody who trusts this authority needs."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def private_pem(self) -> bytes:
        """What ``from_pem`` reads as key. Secret."""
        return _key_pem(self._key)

    def issue(self, address: Address, role: str, hosts: Sequence[str] = (), days: int = 365) -> tuple[bytes, bytes]:
        """A certificate for an identity, for both ends of TLS, with a fresh P-256 key.

        Args:
            address: the identity; with the role it becomes the first DNS name.
            role: one of ``Role``.
            hosts: further DNS names or IP addresses at which the holder is reached.
            days: how long it is valid.

        Returns:
            The certificate and its private key, both PEM.

        Raises:
            InvalidInput: unknown role or a host that is neither a name nor an address.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(address), self._certificate.subject, key.public_key(), days)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(authority=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(_names(address, role, hosts)), critical=False)
        builder = builder.add_extension(authority_key, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key)

    def __repr__(self) -> str:
        return f"CertificateAuthority({self._certificate.subject.rfc4514_string()})"


def peer_identity(certificate: bytes) -> Peer:
    """Read the identity in a certificate whose chain TLS has verified already.

    Args:
        certificate: DER or PEM, at most 16 KiB.

    Raises:
        NotAuthenticated: not a certificate, or not exactly one identity and one known role in it, in name and URN.
    """
    names = _alternative_names(_load(certificate))
    # In any case, as TLS compares them: a second identity in other letters is one too many.
    hosts = [name for name in names.get_values_for_type(x509.DNSName) if name.lower().endswith(f".{DOMAIN}")]
    roles = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith(ROLE_PREFIX)]
    if len(hosts) != 1 or len(roles) != 1:
        raise NotAuthenticated("the peer's certificate does not name exactly one identity and one role")
    digits, _, named = hosts[0].removesuffix(f".{DOMAIN}").partition(".")
    try:
        peer = Peer(to_address(address_bytes(Address("0x" + digits))), Role(roles[0].removeprefix(ROLE_PREFIX)))
    except (InvalidRequest, ValueError) as error:
        raise NotAuthenticated("the peer's certificate names an identity or role that is not one") from error
    if named != peer.role:
        raise NotAuthenticated("the peer's certificate names one role as a host and another one as a URN")
    return peer


def tls_key_hash(certificate: bytes) -> bytes:
    """SHA-256 of a certificate's public key (SubjectPublicKeyInfo, DER): what the registry stores of it."""
    key = _load(certificate).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256(der).digest()


def _load(certificate: bytes) -> x509.Certificate:
    if len(certificate) > MAX_CERTIFICATE_BYTES:
        raise NotAuthenticated("the peer's certificate is too large")
    try:
        if certificate.startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(certificate)
        return x509.load_der_x509_certificate(certificate)
    except ValueError as error:
        raise NotAuthenticated("the peer's certificate cannot be read") from error


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise NotAuthenticated("the peer's certificate carries no identity") from error


def _names(address: Address, role: str, hosts: Sequence[str]) -> list[x509.GeneralName]:
    if role not in list(Role):
        raise InvalidInput(f"{role!r} is not a role", remedy=f"use one of {', '.join(Role)}")
    uri = x509.UniformResourceIdentifier(ROLE_PREFIX + role)
    return [x509.DNSName(identity_host(address, role)), uri, *(_host_name(host) for host in hosts)]


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass  # not an address, so it must be a name
    # DNS names know no case: TLS would take another spelling for the identity itself.
    if not host or host.lower().rstrip(".").endswith(DOMAIN):
        raise InvalidInput(f"{host!r} cannot be a host of a certificate: identities are set by the address alone")
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise InvalidInput(f"{host!r} is neither a DNS name nor an IP address") from error


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number())
    builder = builder.not_valid_before(now - _BACKDATED).not_valid_after(now + datetime.timedelta(days=days))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
