"""docs/limits.md says what the code does."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from mpc_infer.client.config import ChainSection as ClientChain
from mpc_infer.client.config import ClientSection
from mpc_infer.coordinator.config import BatchingSection, MaterialSection
from mpc_infer.coordinator.config import LimitsSection as CoordinatorLimits
from mpc_infer.dealer.config import DealerLimits
from mpc_infer.party.config import ChainSection as PartyChain
from mpc_infer.party.config import PartyLimits

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text("utf-8")
ROWS = re.findall(r"^\| .+? \| ([\d.]+)(?: (MiB|KiB|s))? \| `([\w.]+)(?:\((\w+)\))?` \|$", PAGE, re.MULTILINE)
UNITS = {"": 1, "s": 1, "KiB": 1 << 10, "MiB": 1 << 20}
SETTINGS = {
    "coordinator.limits": CoordinatorLimits,
    "coordinator.batching": BatchingSection,
    "coordinator.material": MaterialSection,
    "party.limits": PartyLimits,
    "party.chain": PartyChain,
    "dealer.limits": DealerLimits,
    "client.client": ClientSection,
    "client.chain": ClientChain,
}


def in_the_code(where, argument):
    place, name = where.rsplit(".", 1)
    if place in SETTINGS:
        return SETTINGS[place].model_fields[name].default
    found = getattr(importlib.import_module(place), name)
    if argument:
        return inspect.signature(found).parameters[argument].default
    return found / 1000 if name.endswith("_MS") else found


def test_every_row_with_a_place_is_read():
    assert len(ROWS) == PAGE.count("` |\n")
    assert len(ROWS) > 40


@pytest.mark.parametrize(("value", "unit", "where", "argument"), ROWS, ids=[row[2] for row in ROWS])
def test_a_row(value, unit, where, argument):
    assert float(value) * UNITS[unit] == in_the_code(where, argument)
