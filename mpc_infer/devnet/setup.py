"""What an operator does once on a new chain: deploy the contracts, register the parties and their set."""

from mpc_infer.chain.deploy import deploy_contracts
from mpc_infer.chain.rpc import JsonRpc
from mpc_infer.chain.writer import RegistryWriter
from mpc_infer.devnet.configs import Network
from mpc_infer.devnet.init import OPERATOR
from mpc_infer.devnet.layout import Layout
from mpc_infer.errors import ChainError
from mpc_infer.identity.certs import tls_key_hash
from mpc_infer.identity.keystore import Keystore

ANSWER_SECONDS = 2.0


def chain_is_ready(network: Network, rpc_url: str) -> bool:
    """Whether the chain answers, and everyone who must send transactions has been given money."""
    rpc = JsonRpc(rpc_url, timeout_s=ANSWER_SECONDS)
    try:
        return all(int(rpc.call("eth_getBalance", owner, "latest"), 16) > 0 for owner in network.members.funded)
    except ChainError:
        return False


def _is_deployed(network: Network, rpc_url: str) -> bool:
    code = JsonRpc(rpc_url, timeout_s=ANSWER_SECONDS).call("eth_getCode", network.contracts.party_registry, "latest")
    return bool(code != "0x")


def set_up_contracts(layout: Layout, network: Network, rpc_url: str) -> None:
    """Deploy, register every party with its keys, and create the party set; nothing where that was done before.

    Args:
        layout: where the operator's and the parties' keys lie.
        network: what is registered.
        rpc_url: the chain.

    Raises:
        ChainError: a transaction failed, or a name differs from the one in the configuration.
    """
    if _is_deployed(network, rpc_url):
        return
    operator = Keystore(layout.keystore(OPERATOR)).signer
    deployed = deploy_contracts(rpc_url, operator)
    if deployed != network.contracts:
        raise ChainError("the contracts lie elsewhere than configured", remedy="start with an empty chain")
    writer = RegistryWriter(rpc_url, deployed, operator)
    for index, place in enumerate(network.topology.parties):
        keystore = Keystore(layout.keystore(f"party{index}"))
        key_ids = [key.key_id for key in keystore.sealing_keys.public_keys]
        writer.register_party(keystore.address, tls_key_hash(keystore.tls.cert_pem), key_ids, place.service.target)
    writer.create_party_set(list(network.members.parties), len(network.members.parties))
    if writer.party_set(network.party_set_id).members != network.members.parties:
        raise ChainError("the party set is not the one configured", remedy="start with an empty chain")
