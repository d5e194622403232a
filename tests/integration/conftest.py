"""One devnet of three parties for all tests of this folder, and the models published on it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from mpc_infer import Client
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import DATA_OWNER, OWNER
from mpc_infer.devnet.training import TrainedModel, breast_cancer, digits
from mpc_infer.errors import MpcInferError
from tests.integration.crafting import Crafter

TOLERANCE = 2e-3


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """A running network of three parties."""
    with Devnet(tmp_path_factory.mktemp("devnet") / "net", parties=3, lanes=1) as devnet:
        yield devnet


@pytest.fixture(scope="session")
def trained() -> dict[str, TrainedModel]:
    """The demo's models."""
    return {model.name: model for model in (breast_cancer(), digits())}


@pytest.fixture(scope="session")
def owner(net: Devnet) -> Iterator[Client]:
    """The owner of the models."""
    with Client(net.client(OWNER)) as client:
        yield client


@pytest.fixture(scope="session")
def alice(net: Devnet) -> Iterator[Client]:
    """A data owner."""
    with Client(net.client(DATA_OWNER)) as client:
        yield client


@pytest.fixture(scope="session")
def published(owner: Client, alice: Client, trained: dict[str, TrainedModel]) -> dict[str, TrainedModel]:
    """Both models, published for alice and for nobody else."""
    for model in trained.values():
        owner.publish(model.onnx, model.name, 1, public=False, users=[alice.address])
    return trained


@dataclass(frozen=True)
class Working:
    """Asks for one row and checks the answer: what must still work after everything else."""

    client: Client
    model: TrainedModel

    def __call__(self, row: int = 0, **options: object) -> None:
        rows = self.model.rows[row : row + 1]
        outputs = self.client.infer(self.model.name, {"x": rows}, **options).outputs  # type: ignore[arg-type]
        assert np.abs(outputs["logits"] - self.model.plain(rows)).max() < TOLERANCE


def back_at_work(works: Working, seconds: float = 40) -> None:
    """A party that was away connects again by itself."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return works()
        except MpcInferError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@pytest.fixture
def works(alice: Client, published: dict[str, TrainedModel]) -> Iterator[Working]:
    """Use it in a test, and it is used once more at the end: the next job works."""
    working = Working(alice, published["breast-cancer"])
    yield working
    working()


@pytest.fixture
def crafter(net: Devnet, published: dict[str, TrainedModel]) -> Iterator[Callable[[str], Crafter]]:
    """Makes clients that send what an honest SDK would not."""
    made: list[Crafter] = []

    def make(name: str = DATA_OWNER) -> Crafter:
        made.append(Crafter(net.client(name)))
        return made[-1]

    yield make
    for each in made:
        each.close()
