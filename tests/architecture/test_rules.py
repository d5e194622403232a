"""Rules about the source itself that neither ruff nor import-linter knows."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mpc_infer"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "v1" not in path.parts)
AROUND = sorted(path for name in ("bench", "tests") for path in (ROOT / name).rglob("*.py"))
# Whatever unpickles runs what it is sent; multiprocessing pickles.
PICKLING = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "multiprocessing"}
MAX_LINES = 400


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.mark.parametrize("path", [*FILES, *AROUND], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_a_giant(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_none_guards_by_assert(path: Path) -> None:
    assert not [node.lineno for node in ast.walk(_tree(path)) if isinstance(node, ast.Assert)]


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", [*FILES, *AROUND], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pickle(path: Path) -> None:
    assert not _imported(path) & PICKLING
    if path.is_relative_to(ROOT / "tests"):
        return  # they make such files, to see them refused
    assert not re.search(r"allow_pickle=True|\btorch\.(load|save)\(|\bProcessPoolExecutor\b", path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_weak_randomness(path: Path) -> None:
    assert "random" not in _imported(path)
    assert not re.search(r"np\.random\.|numpy\.random|torch\.(rand|randn|randint|manual_seed)\(", path.read_text())


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=str)
def test_init_files_only_hand_names_on(path: Path) -> None:
    if path.parent == PACKAGE:
        return  # the SDK's lazy names
    kinds = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr)
    assert all(isinstance(node, kinds) for node in _tree(path).body)


def test_no_unfinished_work() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX)\b")
    found = [str(path) for path in FILES if words.search(path.read_text())]
    assert found == []


def test_the_client_loads_no_torch() -> None:
    code = (
        "import sys; from mpc_infer import Client, AsyncClient;"
        "heavy = {'torch', 'crypten', 'sqlalchemy', 'onnx', 'sklearn', 'scipy'} & set(sys.modules);"
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_the_help_loads_almost_nothing() -> None:
    code = (
        "import sys; sys.argv = ['mpc-infer', '--help']\n"
        "from mpc_infer.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'grpc', 'web3', 'numpy', 'pydantic', 'rich'} & set(sys.modules)\n"
        "print('heavy', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "heavy []"


def test_what_is_pinned_is_what_is_asked_for() -> None:
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.strip()]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", line) for line in pins)
