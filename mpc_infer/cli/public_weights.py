"""Which weights are public, on the command line."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mpc_infer.graph import Graph

Command = Callable[..., Any]


def public_weight_options(command: Command) -> Command:
    """Options that say which weights are public; the command takes ``known``: patterns of names."""

    @functools.wraps(command)
    def with_known(*args: Any, public_weights: bool, some: tuple[str, ...], **rest: Any) -> Any:
        from mpc_infer.graph.public import ALL

        return command(*args, known=(ALL,) if public_weights else some, **rest)

    found = click.option(
        "--public-weight",
        "some",
        multiple=True,
        metavar="NAME",
        help="A weight that everybody may know, or a pattern of names, as 'encoder.*'; may be given again.",
    )(with_known)
    return click.option("--public-weights", is_flag=True, help="All weights may be known to everybody.")(found)


def describe_weights(graph: "Graph") -> dict[str, list[str]]:
    """Names of public and of secret weights."""
    secret = [spec.name for spec in graph.weights if not spec.public]
    return {"public_weights": list(graph.public_weights), "secret_weights": secret}


def in_words(graph: "Graph") -> str:
    """How many weights are public."""
    known, count = len(graph.public_weights), len(graph.weights)
    if known in (0, count):
        return "weights public" if known else "weights secret"
    return f"{known} of {count} weights public"
