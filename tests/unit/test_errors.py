import re
from pathlib import Path

import pytest

from mpc_infer import errors
from mpc_infer.errors import InternalError, MpcInferError, PeerTimeout, Unavailable, all_errors
from mpc_infer.rpc.status import status_code

ROWS = re.compile(r"^\| `([A-Z_]+)` \| (.+?) \| ([A-Z_]+) \| (yes|no) \| (.+) \|$", re.MULTILINE)
DOCUMENTED = {
    row[0]: row[1:] for row in ROWS.findall((Path(__file__).parents[2] / "docs" / "errors.md").read_text("utf-8"))
}


def test_the_page_lists_exactly_the_codes():
    assert sorted(DOCUMENTED) == sorted({kind.code for kind in all_errors()})


@pytest.mark.parametrize(
    "kind", [kind for kind in all_errors() if kind is not MpcInferError], ids=lambda kind: kind.code
)
def test_the_page_says_what_the_code_does(kind):
    meaning, status, retried, remedy = DOCUMENTED[kind.code]
    assert meaning == kind.__doc__.splitlines()[0]
    assert status == status_code(kind("x")).name
    assert (retried == "yes") == kind.retryable
    assert remedy


def test_codes_are_unique_but_for_the_root_which_is_a_defect():
    codes = [kind.code for kind in all_errors()]
    assert len(codes) == len(set(codes)) + 1
    assert MpcInferError.code == InternalError.code


def test_the_tree_is_drawn_in_full():
    drawn = set(re.findall(r"\b[A-Z]\w+", errors.__doc__.split("::")[1]))
    assert drawn == {kind.__name__ for kind in all_errors()}


def test_an_error_says_what_to_do():
    error = Unavailable("the dealer does not answer", remedy="try again", party=2)
    assert (error.message, error.remedy, error.party) == ("the dealer does not answer", "try again", 2)
    assert str(error) == "the dealer does not answer (try again)"
    assert str(Unavailable("x")) == "x"
    assert PeerTimeout("x").remedy == "submit the input again as a new job"
