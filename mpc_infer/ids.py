"""Names for the things that are passed around as bytes, numbers and strings."""

from typing import NewType

JobId = NewType("JobId", bytes)
"""32 random bytes, chosen by the data owner's client."""

SessionId = NewType("SessionId", bytes)
"""16 random bytes, chosen by the coordinator for one run among the parties."""

MaterialId = NewType("MaterialId", bytes)
"""16 random bytes that name one batch of correlated randomness."""

ModelHash = NewType("ModelHash", bytes)
"""32 bytes: the digest of a model's manifest."""

PartySetId = NewType("PartySetId", bytes)
"""32 bytes: the registry's name for an ordered set of parties."""

PartyIndex = NewType("PartyIndex", int)
"""Position of a party in its party set, from 0."""

Address = NewType("Address", str)
"""EIP-55 checksummed address of a secp256k1 key: what a signature recovers to."""

Did = NewType("Did", str)
"""``did:ethr:<chain id in hex>:<address>``."""
