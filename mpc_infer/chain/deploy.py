"""Putting the contracts on a chain."""

from typing import TYPE_CHECKING

from mpc_infer.chain.records import ContractAddresses
from mpc_infer.chain.registry import quantity
from mpc_infer.chain.rpc import JsonRpc
from mpc_infer.chain.sending import open_sender
from mpc_infer.errors import ChainError
from mpc_infer.identity.signer import Signer
from mpc_infer.ids import Address

if TYPE_CHECKING:
    from mpc_infer.chain.transactions import TransactionSender


def deploy_contracts(rpc_url: str, signer: Signer, *, timeout_s: float = 30.0) -> ContractAddresses:
    """Deploy the three contracts. The signer becomes administrator, registrar and guardian.

    Args:
        rpc_url: the chain's node.
        signer: who pays; needs about 5 million gas.
        timeout_s: deadline of one request, in seconds.

    Raises:
        ConfigError: web3 is not installed.
        ChainUnavailable: the node does not answer.
        TransactionFailed: a deployment was refused.
    """
    rpc = JsonRpc(rpc_url, timeout_s=timeout_s)
    sender = open_sender(rpc, signer)
    chain_id = quantity(rpc.call("eth_chainId"))
    parties = _deploy(sender, chain_id, "PartyRegistry", signer.address)
    models = _deploy(sender, chain_id, "ModelRegistry", parties)
    anchor = _deploy(sender, chain_id, "ReceiptAnchor", parties)
    return ContractAddresses(parties, models, anchor)


def _deploy(sender: "TransactionSender", chain_id: int, name: str, argument: Address) -> Address:
    result = sender.deploy(chain_id, name, [argument])
    if result.contract is None:
        raise ChainError(f"the chain's node does not say where it created {name}")
    return result.contract
