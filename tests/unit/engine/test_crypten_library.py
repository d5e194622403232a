"""CrypTen without its own network, randomness, providers and truncation."""

import pytest
import torch

from mpc_infer.engine.crypten.communicator import CountingOpening
from mpc_infer.engine.crypten.library import ArithmeticSharedTensor, BinarySharedTensor, MPCTensor, crypten, installed
from mpc_infer.engine.crypten.provider import Provider, RecordingProvider
from mpc_infer.engine.crypten.randomness import ZeroGenerator
from mpc_infer.errors import InternalError


@pytest.fixture
def tracing():
    with installed(CountingOpening(3), RecordingProvider(), ZeroGenerator(), ZeroGenerator()):
        yield


def test_outside_an_evaluation_nothing_works():
    with pytest.raises(InternalError):
        crypten.communicator.get()
    with pytest.raises(InternalError):
        crypten.mpc.get_default_provider()
    with pytest.raises(KeyError):
        ArithmeticSharedTensor.PRZS((2,))
    assert all(not streams for streams in crypten.generators.values())


@pytest.mark.usefixtures("tracing")
def test_unplanned_randomness_is_refused():
    for draw in (
        lambda: ArithmeticSharedTensor.PRSS((2,)),
        lambda: BinarySharedTensor.rand((2,)),
        lambda: MPCTensor.rand(2),
        lambda: crypten.common.rng.generate_random_ring_element((2,)),
        lambda: crypten.common.rng.generate_kbit_random_tensor((2,), bitlength=3),
    ):
        with pytest.raises(InternalError, match="randomness"):
            draw()


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("divisor", [3, 0, -2, 2.5, torch.tensor([4])])
def test_only_exact_truncation_divides(divisor):
    with pytest.raises(InternalError):
        ArithmeticSharedTensor.from_shares(torch.zeros(2, dtype=torch.int64)).div_(divisor)


@pytest.mark.usefixtures("tracing")
def test_its_own_truncation_is_unreachable():
    provider = crypten.mpc.get_default_provider()
    with pytest.raises(InternalError):
        provider.wrap_rng((2,))
    with pytest.raises(InternalError):
        provider.generate_additive_triple((2, 2), (2, 2), "conv2d")


@pytest.mark.usefixtures("tracing")
def test_no_object_and_no_other_collective_leaves_a_party():
    communicator = crypten.communicator.get()
    for name in ("send_obj", "recv_obj", "broadcast_obj"):
        with pytest.raises(InternalError):
            getattr(communicator, name)({}, 0)
    for name in ("send", "recv", "gather", "reduce", "scatter", "broadcast", "all_gather"):
        with pytest.raises(NotImplementedError):
            getattr(communicator, name)(torch.zeros(1), 0)
    with pytest.raises(InternalError):
        communicator.all_reduce(torch.zeros(1, dtype=torch.int64), op=torch.distributed.ReduceOp.PRODUCT)


def test_no_process_group_exists():
    assert not torch.distributed.is_initialized()


def test_the_provider_asks_for_its_source():
    with pytest.raises(NotImplementedError):
        Provider().square((2,))
