"""The door to ``transactions``, which is opened by those who write: readers need no web3, nor the seconds it takes."""

from typing import TYPE_CHECKING

from mpc_infer.chain.rpc import JsonRpc
from mpc_infer.errors import ConfigError
from mpc_infer.identity.signer import Signer

if TYPE_CHECKING:
    from mpc_infer.chain.transactions import TransactionSender


def open_sender(rpc: JsonRpc, signer: Signer, *, mined_within_s: float = 120.0) -> "TransactionSender":
    """A sender of one key's transactions (see there).

    Raises:
        ConfigError: web3 is not installed.
    """
    try:
        from mpc_infer.chain.transactions import TransactionSender
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"writing to the chain needs web3 ({error.name} is missing)",
            remedy="install mpc-infer[owner], mpc-infer[node] or mpc-infer[demo]",
        ) from error
    return TransactionSender(rpc, signer, mined_within_s=mined_within_s)
