"""The configuration file of every role, from the topology and the identities."""

from collections.abc import Mapping
from dataclasses import dataclass

from mpc_infer.chain.records import ContractAddresses
from mpc_infer.devnet.toml import Table
from mpc_infer.devnet.topology import LOOPBACK, Topology
from mpc_infer.ids import Address, PartySetId

Document = Mapping[str, Table | list[Table]]


@dataclass(frozen=True)
class Members:
    """Who is who.

    Attributes:
        funded: accounts that the development chain gives money to.
        dealer_key_id: id of the dealer's sealing key, which every party pins; hex.
    """

    parties: tuple[Address, ...]
    dealer: Address
    coordinator: Address
    funded: tuple[Address, ...]
    dealer_key_id: str


@dataclass(frozen=True)
class Network:
    """Everything that configuration is written from.

    Attributes:
        party_set: id of the party set, hex.
        engine: of all parties, "masked" or "crypten".
    """

    topology: Topology
    members: Members
    contracts: ContractAddresses
    party_set: str
    engine: str = "masked"

    @property
    def client_rpc_url(self) -> str:
        """The chain, as programs on this machine reach it."""
        return f"http://{self.topology.outside}:{self.topology.chain.port}"

    @property
    def party_set_id(self) -> PartySetId:
        """The registry's 32 bytes."""
        return PartySetId(bytes.fromhex(self.party_set))

    def _contracts(self) -> Table:
        return {
            "party_registry": self.contracts.party_registry,
            "model_registry": self.contracts.model_registry,
            "receipt_anchor": self.contracts.receipt_anchor,
        }

    def _chain(self) -> Table:
        return {"rpc_url": f"http://{self.topology.chain.target}", **self._contracts()}

    def chain(self, backend: str) -> Document:
        """Configuration of the development chain."""
        place = self.topology.chain
        own: Table = {"listen": place.listen, "backend": backend, "fund": list(self.members.funded)}
        return {"chain": own if place.bind_host == LOOPBACK else {**own, "exposed": True}}

    def dealer(self) -> Document:
        """Configuration of the dealer."""
        return {"dealer": {"listen": self.topology.dealer.listen, "keystore": "keystore"}}

    def party(self, index: int) -> Document:
        """Configuration of one party."""
        place = self.topology.parties[index]
        own: Table = {
            "index": index,
            "listen": place.service.listen,
            "keystore": "keystore",
            "database": "party.sqlite",
            "party_set": self.party_set,
            "lanes": [lane.listen for lane in place.lanes],
            "engine": self.engine,
        }
        dealer: Table = {
            "target": self.topology.dealer.target,
            "address": self.members.dealer,
            "sealing_key_id": self.members.dealer_key_id,
        }
        peers = [self._peer(other) for other in range(len(self.members.parties)) if other != index]
        coordinator: Table = {"address": self.members.coordinator}
        return {"party": own, "peers": peers, "dealer": dealer, "coordinator": coordinator, "chain": self._chain()}

    def coordinator(self) -> Document:
        """Configuration of the coordinator."""
        own: Table = {
            "listen": self.topology.coordinator.listen,
            "keystore": "keystore",
            "database": "coordinator.sqlite",
            "party_set": self.party_set,
        }
        parties = [self._party_of_coordinator(index) for index in range(len(self.members.parties))]
        return {"coordinator": own, "parties": parties, "chain": self._chain()}

    def client(self) -> Document:
        """Configuration of a client on this machine."""
        topology = self.topology
        own: Table = {
            "keystore": "keystore",
            "coordinator": f"{topology.outside}:{topology.coordinator.port}",
            "coordinator_address": self.members.coordinator,
        }
        chain: Table = {"rpc_url": self.client_rpc_url, **self._contracts()}
        return {"client": own, "chain": chain}

    def _peer(self, index: int) -> Table:
        lanes = [lane.target for lane in self.topology.parties[index].lanes]
        return {"index": index, "address": self.members.parties[index], "lanes": lanes}

    def _party_of_coordinator(self, index: int) -> Table:
        place = self.topology.parties[index]
        return {
            "index": index,
            "address": self.members.parties[index],
            "target": place.service.target,
            "lanes": len(place.lanes),
        }
