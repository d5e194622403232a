"""One devnet of three parties for all tests of this folder, and the models that they use."""

from collections.abc import Iterator

import pytest

from mpc_infer.devnet import Devnet
from mpc_infer.devnet.training import TrainedModel, breast_cancer, digits


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """A running network of three parties."""
    with Devnet(tmp_path_factory.mktemp("devnet"), parties=3, lanes=1) as devnet:
        yield devnet


@pytest.fixture(scope="session")
def trained() -> dict[str, TrainedModel]:
    """The demo's models."""
    return {model.name: model for model in (breast_cancer(), digits())}
