"""A whole network on one machine: the demo and the integration tests are the same code."""

from mpc_infer.devnet.devnet import Devnet

__all__ = ["Devnet"]
