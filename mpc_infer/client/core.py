"""What every part of the client shares: who we are, the door to the coordinator, the chain and the checked facts."""

from functools import cached_property

from mpc_infer.chain.records import ContractAddresses
from mpc_infer.chain.registry import Registry
from mpc_infer.chain.writer import RegistryWriter
from mpc_infer.client.config import ClientConfig
from mpc_infer.client.facts import Facts
from mpc_infer.client.transport import CoordinatorDoor, GrpcDoor
from mpc_infer.clock import Clock, SystemClock
from mpc_infer.evidence.eip712 import Domain
from mpc_infer.identity.keystore import Keystore
from mpc_infer.identity.signer import Signer
from mpc_infer.rpc.settings import checksummed
from mpc_infer.sharing.sealing import Suite


class Core:
    """One client's identity and connections. Make it in the event loop that will use it."""

    def __init__(
        self,
        config: ClientConfig,
        keystore: Keystore,
        *,
        door: CoordinatorDoor | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.config = config
        self.signer: Signer = keystore.signer
        self.clock = clock or SystemClock()
        self.contracts = ContractAddresses(*config.chain.contracts)
        peer = checksummed(config.client.coordinator_address)
        self.door = door or GrpcDoor(config.client.coordinator, keystore.tls, peer, config.client.max_message_bytes)
        self.registry = registry or Registry(config.chain.rpc_url, self.contracts, timeout_s=config.chain.timeout_s)
        self.facts = Facts(self.door, self.registry, Suite[config.client.suite], config.client.facts_ttl_s)
        self._writer: RegistryWriter | None = None

    @cached_property
    def domain(self) -> Domain:
        """The EIP-712 domain of job requests and receipts."""
        return self.registry.receipt_domain

    @property
    def writer(self) -> RegistryWriter:
        """The chain with this client's key, for what an owner of models does."""
        if self._writer is None:
            chain = self.config.chain
            self._writer = RegistryWriter(chain.rpc_url, self.contracts, self.signer, timeout_s=chain.timeout_s)
        return self._writer
