"""Where things lie in a devnet's directory."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths below one directory. Everything in it is private to its owner (0700, 0600)."""

    root: Path

    @property
    def authority(self) -> Path:
        """The certificate authority's directory. Only whoever admits new members needs it."""
        return self.root / "authority"

    @property
    def receipts(self) -> Path:
        """Bundles of receipts."""
        return self.root / "receipts"

    @property
    def facts_file(self) -> Path:
        """What the chain said about these receipts, to verify them when it runs no more."""
        return self.root / "facts.json"

    @property
    def network_file(self) -> Path:
        """What was made here: sizes, addresses, endpoints."""
        return self.root / "network.json"

    def role(self, name: str) -> Path:
        """Directory of a role: its configuration, keystore, database and log."""
        return self.root / name

    def config(self, name: str) -> Path:
        """Configuration of a role: party0, dealer, coordinator, chain."""
        kind = name.rstrip("0123456789")
        return self.role(name) / f"{kind}.toml"

    def log(self, name: str) -> Path:
        """Log of a role."""
        return self.role(name) / f"{name}.log"

    def keystore(self, name: str) -> Path:
        """Keys of a role."""
        return self.role(name) / "keystore"

    def client(self, name: str) -> Path:
        """Configuration of a client."""
        return self.root / "clients" / name / "client.toml"

    def client_keystore(self, name: str) -> Path:
        """Keys of a client."""
        return self.root / "clients" / name / "keystore"


def private_directory(path: Path) -> Path:
    """Make a directory that only its owner can enter, and so every one above it that is missing."""
    if not path.parent.exists():
        private_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    return path
