"""The command line: one module per noun."""

from mpc_infer.cli.root import main

__all__ = ["main"]
