"""The dealer as a lane reaches it: a dealer that is away does not keep the lane from what comes next."""

import time
from pathlib import Path

import pytest

from mpc_infer.errors import MpcInferError, SessionAborted
from mpc_infer.party.lane.dealer_door import DealerDoor
from mpc_infer.party.lane_setup import LaneSetup
from mpc_infer.preprocessing import Plan, Square
from tests.unit.party.conftest import World

PLAN = Plan("none", bytes(32), 1, 2, 16, 0, 0, (Square((4,)),))
LATE_S, SOON_S = 60.0, 0.5


def door(world: World, cancelled) -> DealerDoor:
    keys = world.keystores[1]
    setup = LaneSetup(
        number=0,
        rank=1,
        addresses=world.addresses,
        targets=("127.0.0.1:1", "127.0.0.1:0"),
        credentials=keys.tls,
        dealer_target="127.0.0.1:1",
        dealer_address=world.dealer.address,
        dealer_key_id=b"",
        engine="masked",
        opens_models=True,
        threads=1,
        material=Path("nowhere"),
        material_key=bytes(32),
        ready_batches=1,
        ready_bytes=1,
        step_s=5.0,
        log_level="WARNING",
        log_json=False,
    )
    return DealerDoor(setup, cancelled)


def seal(dealer: DealerDoor, seconds: float) -> None:
    dealer.sealing(PLAN, bytes(16), time.monotonic() + seconds)


def fetch(dealer: DealerDoor, seconds: float) -> None:
    list(dealer.fetching(time.monotonic() + seconds, 1)(bytes(16), PLAN.to_bytes(), [], []))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("call", [seal, fetch])
def test_what_is_called_off_does_not_wait_for_a_dealer_that_is_away(world: World, call) -> None:
    with pytest.raises(SessionAborted, match="called off"):
        call(door(world, lambda: SessionAborted("the session was called off")), LATE_S)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("call", [seal, fetch])
def test_a_dealer_that_is_away_is_named(world: World, call) -> None:
    with pytest.raises(MpcInferError, match="the dealer"):
        call(door(world, lambda: None), SOON_S)
