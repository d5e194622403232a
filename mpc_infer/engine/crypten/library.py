"""The one door to CrypTen 0.4.1: its import, and everything in it that is replaced, in one place.

CrypTen's state is global: one party and one evaluation per process. Between evaluations nothing is installed, so that a
call that strays finds no network, no randomness and no material.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from omegaconf import OmegaConf
from torch.onnx._internal.torchscript_exporter import registration

from mpc_infer.errors import InternalError

# CrypTen imports this module by the name that it had before torch 2.9.
sys.modules.setdefault("torch.onnx._internal.registration", registration)

import crypten  # noqa: E402
import crypten.common.rng  # noqa: E402
import crypten.communicator  # noqa: E402
import crypten.mpc  # noqa: E402
from crypten.mpc.primitives import arithmetic, beaver, binary  # noqa: E402
from crypten.mpc.primitives.arithmetic import ArithmeticSharedTensor  # noqa: E402
from crypten.mpc.primitives.binary import BinarySharedTensor  # noqa: E402

__all__ = [
    "ArithmeticSharedTensor",
    "BinarySharedTensor",
    "MPCTensor",
    "beaver",
    "crypten",
    "installed",
    "no_grad",
    "precision",
]

MPCTensor = crypten.mpc.MPCTensor
no_grad = crypten.no_grad
CPU = torch.device("cpu")


def _nothing_installed(*_: object, **__: object) -> Any:
    raise InternalError("CrypTen was called outside an evaluation")


def _ring_element(size: Any, ring_size: int = 2**64, generator: Any = None, **_: object) -> torch.Tensor:
    """In place of CrypTen's generate_random_ring_element: every draw names one of our streams."""
    if generator is None or ring_size != 2**64:
        raise InternalError("CrypTen drew randomness that no protocol here plans")
    shape = tuple(size)
    if 0 in shape:  # CrypTen's constructors draw nothing very often
        return torch.empty(shape, dtype=torch.int64)
    drawn: torch.Tensor = generator.draw(shape)
    return drawn


def _kbit_tensor(size: Any, bitlength: int | None = None, generator: Any = None, **_: object) -> torch.Tensor:
    """In place of CrypTen's generate_kbit_random_tensor."""
    if bitlength not in (None, 64):
        raise InternalError("CrypTen drew randomness that no protocol here plans")
    return _ring_element(size, generator=generator)


def _truncate_in_place(self: Any, divisor: Any) -> Any:
    """In place of ArithmeticSharedTensor.div_, whose local truncation is silently wrong once in a while."""
    if not isinstance(divisor, int) or divisor < 1 or divisor & (divisor - 1):
        raise InternalError(f"CrypTen divided by {divisor!r}, which is not a power of two")
    if divisor > 1:
        self.share = crypten.mpc.get_default_provider().truncate(self.share, divisor.bit_length() - 1)
    return self


def _frozen(settings: Any) -> Any:
    """Settings as plain objects: the defaults that CrypTen comes with, fast to read and hard to change."""
    if not isinstance(settings, dict):
        return settings
    return SimpleNamespace(**{name: _frozen(value) for name, value in settings.items()})


def _replace_for_good() -> None:
    crypten.cfg.set_config(_frozen(OmegaConf.to_container(crypten.cfg.config)))
    for module in (crypten.common.rng, arithmetic, binary):
        for name, function in (
            ("generate_random_ring_element", _ring_element),
            ("generate_kbit_random_tensor", _kbit_tensor),
        ):
            if hasattr(module, name):
                setattr(module, name, function)
    ArithmeticSharedTensor.div_ = _truncate_in_place
    ArithmeticSharedTensor.__itruediv__ = _truncate_in_place
    _install(_nothing_installed, _nothing_installed, {"prev": {}, "next": {}, "local": {}, "global": {}})


def _install(communicator: Callable[[], Any], provider: Callable[[], Any], generators: dict[str, Any]) -> None:
    crypten.communicator.get = communicator
    crypten.mpc.get_default_provider = provider
    crypten.generators = generators


@contextmanager
def precision(frac_bits: int) -> Iterator[None]:
    """Let CrypTen take so many fractional bits wherever it names none, as it does after comparisons."""
    encoder = crypten.cfg.config.encoder
    before = encoder.precision_bits
    encoder.precision_bits = frac_bits
    try:
        yield
    finally:
        encoder.precision_bits = before


@contextmanager
def installed(communicator: Any, provider: Any, previous: Any, following: Any) -> Iterator[None]:
    """Let CrypTen compute, with our network, material and streams, until the end of the block.

    Args:
        communicator: a CrypTen Communicator.
        provider: a CrypTen TupleProvider that can also truncate.
        previous, following: streams shared with the previous and the next party.
    """
    generators = {"prev": {CPU: previous}, "next": {CPU: following}, "local": {}, "global": {}}
    _install(lambda: communicator, lambda: provider, generators)
    try:
        with no_grad():
            yield
    finally:
        _install(_nothing_installed, _nothing_installed, {"prev": {}, "next": {}, "local": {}, "global": {}})


_replace_for_good()
