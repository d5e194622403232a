"""What the roles have written down: rows of every table of every database of a network."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mpc_infer.devnet import Devnet

# The coordinator gathers finished jobs into batches, has models opened and material made, whatever else happens.
_BY_ITSELF = frozenset({"batches", "material", "model_openings"})


def _tables(connection: sqlite3.Connection) -> list[str]:
    names = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
    return [name for name in names if not name.startswith("sqlite_") and name not in _BY_ITSELF]


def rows_of(path: Path) -> dict[str, int]:
    """Rows per table of one database, read beside the role that writes it."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        return {
            name: connection.execute(f'select count(*) from "{name}"').fetchone()[0] for name in _tables(connection)
        }


def rows(net: Devnet, *roles: str) -> dict[str, int]:
    """Rows per role and table; of all roles with a database if none is named."""
    chosen = roles or ("coordinator", *net.party_names)
    found: dict[str, int] = {}
    for role in chosen:
        (database,) = net.layout.role(role).glob("*.sqlite")
        found |= {f"{role}.{table}": count for table, count in rows_of(database).items()}
    assert found
    return found


@contextmanager
def nothing_written(net: Devnet, *roles: str) -> Iterator[None]:
    """Inside, no row is added to a database (of these roles, or of all)."""
    before = rows(net, *roles)
    yield
    assert rows(net, *roles) == before
