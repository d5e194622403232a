"""The contracts on both development chains: what holds on one must hold on the other."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mpc_infer.chain import ContractAddresses, RegistryWriter, deploy_contracts
from mpc_infer.chain.devchain import DevChain, find_anvil
from mpc_infer.encoding import keccak
from mpc_infer.evidence.eip712 import ModelHolding
from mpc_infer.identity.signer import Signer
from mpc_infer.ids import ModelHash, PartySetId


@dataclass(frozen=True)
class Network:
    """A chain with the contracts, an administrator with coins, an owner with coins, and three registered parties."""

    chain: DevChain
    addresses: ContractAddresses
    admin: Signer
    owner: Signer
    parties: tuple[Signer, ...]
    party_set: PartySetId

    def writer(self, signer: Signer) -> RegistryWriter:
        return RegistryWriter(self.chain.url, self.addresses, signer)

    def proposed(self, label: str, version: int = 1) -> ModelHash:
        model_hash = ModelHash(keccak(f"{label} {version}".encode()))
        self.writer(self.owner).propose(model_hash, label, version, self.party_set)
        return model_hash

    def holdings(self, model_hash: ModelHash) -> list[bytes]:
        digest = ModelHolding(model_hash, self.party_set, self.owner.address).digest(
            self.writer(self.owner).model_domain
        )
        return [party.sign_digest(digest) for party in self.parties]

    def staged(self, label: str) -> ModelHash:
        model_hash = self.proposed(label)
        self.writer(self.owner).stage(model_hash, self.holdings(model_hash))
        return model_hash

    def active(self, label: str, version: int = 1) -> ModelHash:
        model_hash = self.proposed(label, version)
        writer = self.writer(self.owner)
        writer.stage(model_hash, self.holdings(model_hash))
        writer.activate(model_hash)
        return model_hash


@pytest.fixture(scope="session", params=[pytest.param("anvil", marks=pytest.mark.node), "eth-tester"])
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    if request.param == "anvil" and find_anvil() is None:
        pytest.skip("anvil not found: set $ANVIL, put it on PATH, or run `npm ci` in contracts/")
    admin, owner = Signer.generate(), Signer.generate()
    parties = tuple(Signer.generate() for _ in range(3))
    funded = [admin.address, owner.address, parties[0].address]
    with DevChain(request.param, funded=funded) as chain:
        addresses = deploy_contracts(chain.url, admin)
        writer = RegistryWriter(chain.url, addresses, admin)
        for index, party in enumerate(parties):
            writer.register_party(party.address, keccak(b"tls"), [keccak(b"sealing")], f"party-{index}:7000")
        members = tuple(party.address for party in parties)
        writer.create_party_set(members, 3)
        yield Network(chain, addresses, admin, owner, parties, writer.party_set_id(members, 3))
