"""A network that runs elsewhere, in containers say, as the demo sees it: the clients' files are all that is here."""

from pathlib import Path

from mpc_infer.client.config import ClientConfig
from mpc_infer.devnet.init import DATA_OWNER
from mpc_infer.devnet.layout import Layout
from mpc_infer.errors import ConfigError


class AttachedNetwork:
    """The demo's view of a network that somebody else runs.

    Args:
        directory: holds ``clients/model-owner`` and ``clients/data-owner`` as `mpc-infer devnet init` wrote them;
            receipts go to ``receipts`` below it.

    Raises:
        ConfigError: the clients' files are not there.
    """

    def __init__(self, directory: Path) -> None:
        self.layout = Layout(directory.resolve())
        self.rpc_url: str = ClientConfig.load(self.client(DATA_OWNER)).chain.rpc_url

    def client(self, name: str) -> Path:
        """Configuration file of a client.

        Raises:
            ConfigError: there is none of that name.
        """
        config = self.layout.client(name)
        if not config.exists():
            raise ConfigError(f"{config} is not there", remedy="copy the directory `clients` of the network here")
        return config
