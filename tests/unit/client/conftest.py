"""A simulated network and a published model."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.coordinator.simulation import IMPORTED, Network


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Network]:
    """Three parties, a coordinator, and the model `shift` published by the owner."""
    network = Network(tmp_path)
    async with network.run():
        await network.client().publish(IMPORTED, "shift", 1)
        yield network
