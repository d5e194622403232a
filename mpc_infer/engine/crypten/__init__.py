"""CrypTen behind our link, our dealer and our randomness. The only package that imports CrypTen."""

from mpc_infer.engine.crypten.engine import CryptenEngine

__all__ = ["CryptenEngine"]
