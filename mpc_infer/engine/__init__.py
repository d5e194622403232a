"""Private evaluation of a graph among the parties of one lane."""

from mpc_infer.engine.api import Engine, Outcome, get_engine
from mpc_infer.engine.link import Counters, Link

__all__ = ["Counters", "Engine", "Link", "Outcome", "get_engine"]
