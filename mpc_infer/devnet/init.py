"""Keys, certificates and configuration of a whole network, written before anything runs."""

from pydantic import TypeAdapter, ValidationError

from mpc_infer.devnet.configs import Document, Members, Network
from mpc_infer.devnet.layout import Layout, private_directory
from mpc_infer.devnet.membership import add_client, admit, create_authority
from mpc_infer.devnet.predict import contract_addresses, party_set_id
from mpc_infer.devnet.toml import dumps, write_private
from mpc_infer.devnet.topology import Topology
from mpc_infer.errors import ConfigError
from mpc_infer.identity.certs import CertificateAuthority

OPERATOR, OWNER, DATA_OWNER = "operator", "model-owner", "data-owner"
_NETWORK = TypeAdapter(Network)


def initialise(layout: Layout, topology: Topology, *, chain: str = "auto", engine: str = "masked") -> Network:
    """Make a network's directory: a keystore and a configuration per role, an operator, a model owner and a data owner.

    Args:
        layout: an empty or new directory.
        topology: where every role listens.
        chain: the development chain's back end: "auto", "anvil" or "eth-tester".
        engine: of all parties, "masked" or "crypten".

    Raises:
        ConfigError: there is a network already.
    """
    if layout.network_file.exists():
        raise ConfigError(f"{layout.root} holds a network already", remedy="choose another directory")
    private_directory(layout.root)
    authority = create_authority(layout)
    network = _network(layout, topology, authority, engine)
    _write_roles(layout, network, chain)
    add_client(layout, DATA_OWNER, network, authority)
    write_private(layout.network_file, _NETWORK.dump_json(network, indent=2).decode() + "\n")
    return network


def load(layout: Layout) -> Network:
    """The network of a directory that `initialise` made.

    Raises:
        ConfigError: there is none, or its description is damaged.
    """
    try:
        return _NETWORK.validate_json(layout.network_file.read_bytes())
    except (OSError, ValidationError) as error:
        remedy = "give a directory made by `mpc-infer devnet init`"
        raise ConfigError(f"{layout.root} holds no network: {error}", remedy=remedy) from error


def _network(layout: Layout, topology: Topology, authority: CertificateAuthority, engine: str) -> Network:
    hosts = topology.hosts
    count = len(topology.parties)
    parties = [admit(authority, layout.keystore(f"party{index}"), "party", hosts) for index in range(count)]
    dealer = admit(authority, layout.keystore("dealer"), "dealer", hosts)
    coordinator = admit(authority, layout.keystore("coordinator"), "coordinator", hosts)
    operator = admit(authority, layout.keystore(OPERATOR), "operator")
    owner = admit(authority, layout.client_keystore(OWNER), "client")
    contracts = contract_addresses(operator.address)
    addresses = tuple(party.address for party in parties)
    members = Members(
        parties=addresses,
        dealer=dealer.address,
        coordinator=coordinator.address,
        funded=(operator.address, coordinator.address, owner.address),
        dealer_key_id=dealer.sealing_keys.public().key_id.hex(),
    )
    return Network(topology, members, contracts, party_set_id(contracts.party_registry, addresses).hex(), engine)


def _write(layout: Layout, name: str, document: Document) -> None:
    private_directory(layout.role(name))
    write_private(layout.config(name), dumps(document))


def _write_roles(layout: Layout, network: Network, chain: str) -> None:
    _write(layout, "chain", network.chain(chain))
    _write(layout, "dealer", network.dealer())
    _write(layout, "coordinator", network.coordinator())
    for index in range(len(network.members.parties)):
        _write(layout, f"party{index}", network.party(index))
    write_private(layout.client(OWNER), dumps(network.client()))
