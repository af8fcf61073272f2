"""The options of `convert` that say which sizes a TensorRT engine takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from converters.errors import ConversionError
from converters.terminal.options import Size, read_size

if TYPE_CHECKING:
    from converters.targets.profile import Profile

OPTIONS = {
    "--trt-min": "Smallest size the engine takes, rounded up to the net's multiple.  [default: 64x64]",
    "--trt-opt": "Size the engine is tuned for, rounded up likewise.  [default: 256x256, or the nearest that it takes]",
    "--trt-max": "Largest size the engine takes, rounded up likewise.  [default: 1024x1024]",
}


def profile_options(command: Any) -> Any:
    """Add --trt-min, --trt-opt and --trt-max."""
    for name, text in reversed(OPTIONS.items()):
        command = click.option(name, type=read_size, metavar="HxW", help=text)(command)
    return command


def read_profile(
    targets: Sequence[str], size: Size | None, trt_min: Size | None, trt_opt: Size | None, trt_max: Size | None
) -> Profile:
    """What the options say, and the default for what they leave open.

    Raises:
        click.UsageError: they are not in order, or have no effect beside the other options.
    """
    from converters.targets.profile import make_profile

    given = [name for name, value in zip(OPTIONS, (trt_min, trt_opt, trt_max), strict=True) if value is not None]
    if given and "trt" not in targets:
        raise click.UsageError(f"{given[0]} is for the target trt, which --to does not name.")
    if given and size is not None:
        raise click.UsageError(f"With --size an engine takes that size alone: leave out {given[0]}.")
    try:
        return make_profile(trt_min, trt_opt, trt_max)
    except ConversionError as error:
        raise click.UsageError(str(error)) from None
