import pytest

from mpc_infer.identity import CertificateAuthority, Signer, TlsCredentials


@pytest.fixture(scope="session")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("tests")


@pytest.fixture(scope="session")
def issue(authority):
    def make(role="party", *, signer=None, by=authority, trust=authority, days=1):
        holder = signer or Signer.generate()
        return holder, TlsCredentials(trust.certificate_pem, *by.issue(holder.address, role, ["localhost"], days))

    return make
