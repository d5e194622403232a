"""Bundles with one thing changed, and registries in which keys come and go."""

from dataclasses import replace

from mpc_infer.evidence import SignedReceipt


def flip(value):
    return value ^ 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]


def with_signatures(bundle, signatures):
    return replace(bundle, signed=SignedReceipt(bundle.signed.receipt, tuple(signatures)))


def with_inclusion(bundle, **changes):
    return replace(bundle, inclusion=replace(bundle.inclusion, **changes))


class Keys:
    """Facts in which keys have windows, {(identity, signer): (from, until)}, and revocations, {signer: from}."""

    def __init__(self, facts, windows, revoked=None):
        self._facts, self._windows, self._revoked = facts, windows, revoked or {}

    def __getattr__(self, name):
        return getattr(self._facts, name)

    def signer_valid(self, identity, signer, timestamp):
        start, end = self._windows.get((identity, signer), (0, 2**40 if identity == signer else 0))
        return start <= timestamp < min(end, self._revoked.get(signer, end))

    def signer_revoked(self, identity, signer, timestamp):
        return timestamp >= self._revoked.get(signer, 2**40)
