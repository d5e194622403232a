"""Fleets of real processes, one for each number of parties, kept for the whole test run."""

from collections.abc import Callable, Iterator

import pytest

from bench.fleet import Fleet


@pytest.fixture(scope="session")
def fleets() -> Iterator[Callable[[int], Fleet]]:
    running: dict[int, Fleet] = {}

    def get(parties: int) -> Fleet:
        if parties not in running:
            running[parties] = Fleet(parties).__enter__()
        return running[parties]

    yield get
    for fleet in running.values():
        fleet.__exit__()


@pytest.fixture(params=[2, 3, pytest.param(4, marks=pytest.mark.slow)], ids=lambda parties: f"{parties}-parties")
def fleet(request: pytest.FixtureRequest, fleets: Callable[[int], Fleet]) -> Fleet:
    return fleets(request.param)
