"""Keys and certificates of the members of a network."""

from collections.abc import Sequence
from pathlib import Path

from mpc_infer.devnet.configs import Network
from mpc_infer.devnet.layout import Layout, private_directory
from mpc_infer.devnet.toml import dumps, write_private
from mpc_infer.errors import ConfigError, StoreError
from mpc_infer.identity.certs import CertificateAuthority
from mpc_infer.identity.keystore import Keystore
from mpc_infer.identity.signer import Signer
from mpc_infer.identity.tls import TlsCredentials

_CERTIFICATE, _KEY = "ca.pem", "ca.key"


def create_authority(layout: Layout) -> CertificateAuthority:
    """Make the network's certificate authority and keep it."""
    authority = CertificateAuthority.create("mpc-infer devnet")
    directory = private_directory(layout.authority)
    write_private(directory / _CERTIFICATE, authority.certificate_pem.decode())
    write_private(directory / _KEY, authority.private_pem().decode())
    return authority


def load_authority(layout: Layout) -> CertificateAuthority:
    """The authority of an existing network.

    Raises:
        StoreError: it is not there.
    """
    try:
        certificate = (layout.authority / _CERTIFICATE).read_bytes()
        key = (layout.authority / _KEY).read_bytes()
    except OSError as error:
        raise StoreError(
            f"no certificate authority in {layout.authority}: {error.strerror}",
            remedy="give the directory of a network made by `mpc-infer devnet init`",
        ) from error
    return CertificateAuthority.from_pem(certificate, key)


def admit(authority: CertificateAuthority, directory: Path, role: str, hosts: Sequence[str] = ()) -> Keystore:
    """Make the keys of a new member, and a certificate for them.

    Args:
        authority: who vouches for it.
        directory: its keystore.
        role: what its certificate says it is.
        hosts: names by which it is reached.

    Raises:
        StoreError: there are keys already.
    """
    private_directory(directory)
    signer = Signer.generate()
    certificate, key = authority.issue(signer.address, role, hosts)
    credentials = TlsCredentials(authority.certificate_pem, certificate, key)
    return Keystore.create(directory, signer=signer, tls=credentials)


def add_client(layout: Layout, name: str, network: Network, authority: CertificateAuthority | None = None) -> Keystore:
    """Make a client's keys and configuration.

    Raises:
        ConfigError: the name is no plain word.
        StoreError: there is one of that name.
    """
    if not name.replace("-", "").isalnum():
        raise ConfigError(f"{name!r} cannot be a client's name", remedy="use letters, digits and hyphens")
    private_directory(layout.client(name).parent)
    keystore = admit(authority or load_authority(layout), layout.client_keystore(name), "client")
    write_private(layout.client(name), dumps(network.client()))
    return keystore
