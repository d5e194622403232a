"""Which weights of a model everybody may know: its owner says so."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from mpc_infer.errors import InvalidInput
from mpc_infer.graph.ir import Graph

ALL = "*"
"""The pattern of all weights."""


def with_public(graph: Graph, patterns: Iterable[str]) -> Graph:
    """The same graph with the weights public whose names are given; all others are secret.

    Args:
        patterns: names of weights, or patterns of them, where ``*`` stands for any characters and ``?`` for one. Case
            counts. A name that is a weight's is that name and no pattern.

    Raises:
        InvalidInput: a name or pattern is no weight's.
    """
    names = [spec.name for spec in graph.weights]
    return marked(graph, {name for pattern in patterns for name in _matching(pattern, names)})


def marked(graph: Graph, public: Collection[str]) -> Graph:
    """The same graph with exactly the weights public that have these names."""
    return replace(graph, weights=tuple(replace(spec, public=spec.name in public) for spec in graph.weights))


def _matching(pattern: str, names: list[str]) -> list[str]:
    found = [pattern] if pattern in names else [name for name in names if fnmatchcase(name, pattern)]
    if not found and pattern != ALL:
        raise InvalidInput(
            f"the model has no weight {pattern!r}", remedy="`mpc-infer model check FILE` lists its weights"
        )
    return found
