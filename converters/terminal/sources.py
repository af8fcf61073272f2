"""What `ganport convert` is given: checkpoints, ONNX files, FILE.py:FUNCTION, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from converters.bundle.folder import is_folder_name
from converters.terminal.output import print_line
from reference.registry import shipped_checkpoints
from reference.torch_extra import require_torch

if TYPE_CHECKING:
    from converters.sources.own_module import OwnModule

PYTHON_SUFFIX, ONNX_SUFFIX = ".py", ".onnx"
# Arrays for FILE.py:FUNCTION: of one size, or of two.
MAX_EXAMPLES = 2


def require_fitting(
    sources: Sequence[Path], name: str | None, checkpoint: Path | None, inputs: Sequence[Path], pipeline: bool
) -> None:
    """Refuse options that do not go with the sources, before anything is read.

    Raises:
        click.UsageError: says which.
    """
    own = [source for source in sources if is_own_file(source)]
    if own and len(sources) > 1:
        raise click.UsageError("FILE.py:FUNCTION is converted by itself: name no other source.")
    bare = next((source for source in sources if source.suffix == PYTHON_SUFFIX), None)
    if bare is not None:
        raise click.UsageError(f"'{bare}' is a Python file: name the function that makes the module, {bare}:FUNCTION.")
    if checkpoint is not None and not own:
        raise click.UsageError(
            "--checkpoint goes with FILE.py:FUNCTION; a checkpoint of a known net is a source itself."
        )
    if inputs and not own and ([source.suffix for source in sources] != [ONNX_SUFFIX] or len(inputs) > 1):
        raise click.UsageError("--inputs goes with one ONNX file, or once or twice with FILE.py:FUNCTION.")
    if len(inputs) > MAX_EXAMPLES:
        raise click.UsageError("--inputs is given once or twice.")
    if name is not None and (len(sources) > 1 or not sources) and not pipeline:
        raise click.UsageError("--name names one bundle: give it with one source.")
    if name is not None and not is_folder_name(name):
        raise click.UsageError(f"--name {name!r} is no folder name. Give one without slashes or control characters.")


def read_given(
    sources: Sequence[Path], name: str | None, checkpoint: Path | None, inputs: Sequence[Path]
) -> tuple[Sequence[Path | OwnModule], Path | None]:
    """The sources to convert, and the arrays that an ONNX file is judged on; the code of FILE.py:FUNCTION is run.

    Raises:
        GanportError: that code fails, or what it makes cannot be converted.
    """
    if not sources:
        return shipped_checkpoints(), None
    if is_own_file(sources[0]):
        require_torch(sources[0])
        from converters.sources.own_file import read_own_file

        if checkpoint is None:
            print_line(f"{sources[0]}: no --checkpoint is given: its weights are as the function makes them", err=True)
        return [read_own_file(sources[0], checkpoint, inputs, name)], None
    return sources, next(iter(inputs), None)


def is_own_file(source: Path) -> bool:
    """Whether it is FILE.py:FUNCTION."""
    file, _, function = str(source).rpartition(":")
    return file.endswith(PYTHON_SUFFIX) and bool(function)
