"""A party, in a process of its own and with its own keys, that signs another receipt than it should."""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from mpc_infer import Client
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.training import TrainedModel
from mpc_infer.errors import MpcInferError, PeerFailed, ReceiptDisagreement
from tests.integration.books import rows
from tests.integration.conftest import Working, back_at_work

SCRIPT = Path(__file__).with_name("dishonest_party.py")
DISHONEST = 1


@pytest.fixture(scope="module")
def turn(net: Devnet) -> Iterator[Callable[[str], None]]:
    """Starts party 1 anew with another program; afterwards the honest one runs again."""
    role = net.party_process(DISHONEST)
    honest = role.command

    def restart(command: tuple[str, ...]) -> None:
        role.ask_to_stop()
        role.finish()
        role.command = command
        net.restart(role.name)

    def turn(how: str) -> None:
        restart((sys.executable, str(SCRIPT), how, *honest[honest.index("party") :]) if how else honest)

    yield turn
    if role.command != honest:
        restart(honest)


def error_once_it_is_back(infer: Callable[[], object], seconds: float = 40) -> MpcInferError:
    """The coordinator, and the other parties' lanes, first have to connect again to a party that was restarted."""
    deadline = time.monotonic() + seconds
    while True:
        with pytest.raises(MpcInferError) as caught:
            infer()
        if not isinstance(caught.value, PeerFailed) or time.monotonic() > deadline:
            return caught.value
        time.sleep(0.2)


@pytest.mark.parametrize("how", ["signs-another", "states-another", "signs-as-another"])
def test_a_party_that_signs_another_receipt_is_named(
    net: Devnet, turn: Callable[[str], None], alice: Client, published: dict[str, TrainedModel], how: str
) -> None:
    model = published["breast-cancer"]
    turn(how)
    before = rows(net, "coordinator")["coordinator.receipts"]
    for delivery in ("coordinator", "client"):
        error = error_once_it_is_back(partial(alice.infer, model.name, {"x": model.rows[:1]}, delivery=delivery))
        assert type(error) is ReceiptDisagreement, error
        assert error.party == DISHONEST
    # No receipt of these jobs is kept, and so none is ever anchored.
    assert rows(net, "coordinator")["coordinator.receipts"] == before


def test_its_honest_program_is_welcome_again(
    turn: Callable[[str], None], alice: Client, published: dict[str, TrainedModel]
) -> None:
    turn("")
    back_at_work(Working(alice, published["breast-cancer"]))
