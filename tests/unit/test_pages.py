"""What docs/ repeats of the code is what the code has."""

import re
import tomllib
from pathlib import Path

from mpc_infer import errors
from mpc_infer.cli.output import EXIT_DEFECT, EXIT_INTERRUPTED, exit_status

ROOT = Path(__file__).parents[2]


def page(name):
    return (ROOT / "docs" / name).read_text("utf-8")


def test_the_layers_are_those_that_are_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contracts if each["type"] == "layers"]
    assert "".join(f"    {layer}\n" for layer in layers) in page("architecture.md")


def test_the_exit_statuses_are_those_of_the_command_line():
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", page("errors.md"), re.MULTILINE))
    assert {str(EXIT_DEFECT), str(EXIT_INTERRUPTED)} < rows.keys()
    named = {code: int(status) for status, text in rows.items() for code in re.findall(r"`([A-Z_]+)`", text)}
    kinds = {kind.code: kind for kind in errors.all_errors()}
    assert named == {code: exit_status(kinds[code]("x")) for code in named}
    direct = {kind.code for kind in errors.MpcInferError.__subclasses__() if exit_status(kind("x")) != EXIT_DEFECT}
    assert direct <= named.keys()
