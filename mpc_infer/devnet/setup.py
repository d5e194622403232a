"""What an operator does once on a new chain: deploy the contracts, register the parties and their set."""

import json
import urllib.error
import urllib.request

from mpc_infer.chain.deploy import deploy_contracts
from mpc_infer.chain.registry import RegistryWriter
from mpc_infer.devnet.configs import Network
from mpc_infer.devnet.init import OPERATOR
from mpc_infer.devnet.layout import Layout
from mpc_infer.errors import ChainError
from mpc_infer.identity.certs import tls_key_hash
from mpc_infer.identity.keystore import Keystore

ANSWER_SECONDS = 2.0


def chain_answers(rpc_url: str) -> bool:
    """Whether a JSON-RPC endpoint tells its chain id."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
    request = urllib.request.Request(rpc_url, body, {"Content-Type": "application/json"})  # noqa: S310 - our own URL
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            return "result" in json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def set_up_contracts(layout: Layout, network: Network) -> None:
    """Deploy, register every party with its keys, and create the party set.

    Raises:
        ChainError: a transaction failed, or a name differs from the one in the configuration.
    """
    operator = Keystore(layout.keystore(OPERATOR)).signer
    deployed = deploy_contracts(network.client_rpc_url, operator)
    if deployed != network.contracts:
        raise ChainError("the contracts lie elsewhere than configured", remedy="start with an empty chain")
    writer = RegistryWriter(network.client_rpc_url, deployed, operator)
    for index, place in enumerate(network.topology.parties):
        keystore = Keystore(layout.keystore(f"party{index}"))
        key_ids = [key.key_id for key in keystore.sealing_keys.public_keys]
        writer.register_party(keystore.address, tls_key_hash(keystore.tls.cert_pem), key_ids, place.service.target)
    writer.create_party_set(list(network.members.parties), len(network.members.parties))
    if writer.party_set(network.party_set).members != network.members.parties:
        raise ChainError("the party set is not the one configured", remedy="start with an empty chain")
