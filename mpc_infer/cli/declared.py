"""What an owner says of a model's inputs on the command line: options, and the files that they name."""

import functools
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mpc_infer.cli.options import ExistingFile
from mpc_infer.errors import InvalidInput, MessageTooLarge

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mpc_infer.graph.input_ranges import Declared, InputRange
    from mpc_infer.graph.onnx_import import ImportedModel

    Reals = NDArray[np.float64]

MAX_RANGES_BYTES = 16 * 2**20
DEFAULT_MARGIN = 50
Command = Callable[..., Any]


@dataclass(frozen=True)
class Said:
    """The options as they were given: at most one of the first three."""

    input_limit: int | None
    ranges: Path | None
    calibrate: Path | None
    margin: int
    ceilings: bool = False

    @property
    def anything(self) -> bool:
        """Whether something was said."""
        return self.ceilings or any(each is not None for each in (self.input_limit, self.ranges, self.calibrate))

    def declared(self, inputs: Sequence[str]) -> "Declared | None":
        """Ranges of these inputs; None: nothing was said.

        Raises:
            InvalidInput: two things were said, something is missing, or a file does not fit.
        """
        from mpc_infer.graph.input_ranges import CalibrationRows

        self._check_ceilings()
        if sum(each is not None for each in (self.input_limit, self.ranges, self.calibrate)) > 1:
            raise InvalidInput("--input-limit, --ranges and --calibrate exclude each other", remedy="give one of them")
        if self.ranges is not None:
            return read_ranges(self.ranges, inputs)
        if self.calibrate is not None:
            return CalibrationRows(read_inputs(self.calibrate, inputs), self.margin)
        return self.input_limit

    def with_ceilings(self, imported: "ImportedModel") -> "ImportedModel":
        """The model as it is to be published: with ceilings, where they were asked for.

        Raises:
            InvalidInput: there are no calibration rows, or they do not fit.
            ModelRefused: a value may leave the range in spite of ceilings.
        """
        from mpc_infer.graph.input_ranges import CalibrationRows
        from mpc_infer.model.ceilings import with_ceilings

        self._check_ceilings()
        if not self.ceilings or self.calibrate is None:
            return imported
        rows = read_inputs(self.calibrate, [spec.name for spec in imported.graph.inputs])
        return with_ceilings(imported, rows, CalibrationRows(rows, self.margin))

    def _check_ceilings(self) -> None:
        if self.ceilings and self.calibrate is None:
            raise InvalidInput(
                "--ceilings lie above what calibration rows reach, and there are none",
                remedy="give --calibrate with rows like those that will be sent",
            )


def declared_options(command: Command) -> Command:
    """Options that say where inputs lie; the command takes ``said``."""

    @functools.wraps(command)
    def with_said(
        *args: Any,
        input_limit: int | None,
        ranges: Path | None,
        calibrate: Path | None,
        margin: int,
        ceilings: bool,
        **rest: Any,
    ) -> Any:
        return command(*args, said=Said(input_limit, ranges, calibrate, margin, ceilings), **rest)

    options = (
        click.option(
            "--input-limit",
            type=click.IntRange(1, 2**15),
            help="Inputs lie strictly between -LIMIT and LIMIT. By default the largest power of two that fits.",
        ),
        click.option(
            "--ranges",
            type=ExistingFile,
            help='A range for every feature: JSON {"x": {"low": -1, "high": [2, 3]}}, or .npz with x.low and x.high.',
        ),
        click.option("--calibrate", type=ExistingFile, help="Rows (.npy, .npz, .csv) to take the ranges from."),
        click.option(
            "--margin",
            type=click.IntRange(0, 10_000),
            default=DEFAULT_MARGIN,
            show_default=True,
            help="What --calibrate adds on both sides, in percent of what the rows span.",
        ),
        click.option(
            "--ceilings",
            is_flag=True,
            help="End activations above what the rows of --calibrate reach, where deep networks need it.",
        ),
    )
    found: Command = with_said
    for option in reversed(options):
        found = option(found)
    return found


def read_inputs(path: Path, inputs: Sequence[str]) -> dict[str, "Reals"]:
    """Rows of every input: of the only one, or by name from an .npz.

    Raises:
        InvalidInput: the file cannot be read, or holds other names.
        MessageTooLarge: it is too large.
    """
    from mpc_infer.cli.rows import read_rows

    if path.suffix == ".npz":
        return {name: _reals(array, path) for name, array in read_arrays(path).items()}
    if len(inputs) != 1:
        raise InvalidInput(f"the model has the inputs {sorted(inputs)}", remedy="give an .npz with an array for each")
    return {inputs[0]: _reals(read_rows(path), path)}


def read_arrays(path: Path) -> dict[str, Any]:
    """Arrays of an .npz, never pickled; what it unpacks to counts against the limit of a file of rows.

    Raises:
        InvalidInput, MessageTooLarge: as `read_inputs`.
    """
    import numpy as np

    from mpc_infer.cli.rows import MAX_FILE_BYTES

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_FILE_BYTES:
                raise MessageTooLarge(f"{path} holds more than {MAX_FILE_BYTES} bytes", remedy="give fewer rows")
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path} is no archive of arrays", remedy="write it with numpy.savez") from error


def read_ranges(path: Path, inputs: Sequence[str]) -> dict[str, "InputRange"]:
    """A range for every input.

    Raises:
        InvalidInput: the file cannot be read, or has other fields.
    """
    from mpc_infer.graph.input_ranges import InputRange

    ends = _ends_of_archive(path) if path.suffix == ".npz" else _ends_of_json(path)
    if unknown := sorted(set(ends) - set(inputs)):
        raise InvalidInput(f"{path} has a range of {unknown[0]!r}", remedy=f"the model's inputs are {sorted(inputs)}")
    return {name: InputRange(_reals(low, path), _reals(high, path)) for name, (low, high) in ends.items()}


def _ends_of_archive(path: Path) -> dict[str, tuple[Any, Any]]:
    arrays = read_arrays(path)
    names = {name.rpartition(".")[0] for name in arrays}
    if set(arrays) != {f"{name}.{end}" for name in names for end in ("low", "high")}:
        raise InvalidInput(f"{path} does not hold NAME.low and NAME.high of every input")
    return {name: (arrays[f"{name}.low"], arrays[f"{name}.high"]) for name in names}


def _ends_of_json(path: Path) -> dict[str, tuple[Any, Any]]:
    from mpc_infer.encoding import parse_json
    from mpc_infer.errors import InvalidRequest

    try:
        if path.stat().st_size > MAX_RANGES_BYTES:
            raise MessageTooLarge(f"{path} is larger than {MAX_RANGES_BYTES} bytes", remedy="give an .npz")
        content = parse_json(path.read_bytes(), max_bytes=MAX_RANGES_BYTES)
    except (OSError, InvalidRequest) as error:
        raise InvalidInput(f"{path} holds no ranges", remedy='write {"x": {"low": -1, "high": 1}}') from error
    sound = isinstance(content, Mapping) and all(
        isinstance(each, Mapping) and set(each) == {"low", "high"} for each in content.values()
    )
    if not sound:
        raise InvalidInput(f'{path} does not say "low" and "high" of every input')
    return {name: (each["low"], each["high"]) for name, each in content.items()}


def _reals(value: Any, path: Path) -> "Reals":
    import numpy as np

    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidInput(f"{path} holds an array that is not rectangular") from error
    if array.dtype.kind not in "fiub":
        raise InvalidInput(f"{path} holds something that is no array of numbers")
    return array.astype(np.float64)
