"""`python dishonest_party.py HOW party serve --config FILE`: a party's real process, but for what it signs.

Its connections, its checks, its lanes and its computation are the honest ones.
"""

import dataclasses
import sys

from mpc_infer.cli import main
from mpc_infer.evidence.eip712 import Domain, Receipt
from mpc_infer.identity.signer import Signer
from mpc_infer.party import signing

honest_sign, honest_receipt = signing.sign, signing.Signing._receipt


def other(receipt: Receipt) -> Receipt:
    return dataclasses.replace(receipt, transcript=bytes(32))


def signs_another(struct: object, domain: Domain, signer: Signer) -> bytes:
    """Returns the receipt of the others, but signs one that it made up."""
    return honest_sign(other(struct) if isinstance(struct, Receipt) else struct, domain, signer)


def states_another(self: signing.Signing, *arguments: object) -> Receipt:
    """Returns and signs a receipt that it made up."""
    return other(honest_receipt(self, *arguments))


def signs_as_another(struct: object, domain: Domain, signer: Signer) -> bytes:
    """Signs the right receipt with a key that is nobody's."""
    return honest_sign(struct, domain, Signer.generate() if isinstance(struct, Receipt) else signer)


how = sys.argv.pop(1)
if how == "signs-another":
    signing.sign = signs_another
elif how == "states-another":
    signing.Signing._receipt = states_another
elif how == "signs-as-another":
    signing.sign = signs_as_another
else:
    sys.exit(f"no such dishonesty: {how}")
main()
