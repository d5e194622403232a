"""Who is who: addresses and DIDs, signatures, certificates, keystores, TLS."""

from mpc_infer.identity.certs import CertificateAuthority, Peer, Role, identity_host, peer_identity, tls_key_hash
from mpc_infer.identity.did import address_bytes, address_of, chain_id_of, did_of, to_address
from mpc_infer.identity.keystore import Keystore
from mpc_infer.identity.signer import Signer, recover
from mpc_infer.identity.tls import TlsCredentials, client_context, server_context

__all__ = [
    "CertificateAuthority",
    "Keystore",
    "Peer",
    "Role",
    "Signer",
    "TlsCredentials",
    "address_bytes",
    "address_of",
    "chain_id_of",
    "client_context",
    "did_of",
    "identity_host",
    "peer_identity",
    "recover",
    "server_context",
    "tls_key_hash",
    "to_address",
]
