"""Option and argument types that several commands share; imports nothing heavy, so that `--help` is fast."""

from __future__ import annotations

import contextlib
import difflib
import errno
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from converters.errors import GanportError
from converters.terminal.output import print_line
from converters.text import escape_controls
from reference.plugins import TARGET_GROUP, find_plugins

TARGET_NAMES = ("onnx", "mxnet", "trt", "wolfram")
# Other names that people write, which mean the same.
ALIASES = {"tensorrt": "trt"}
# Height and width in pixels.
MAX_SIDE = 16384
Size = tuple[int, int]


def read_size(text: str) -> Size:
    """Parse a size like "256x320", or "256" for a square, to (H, W) in pixels."""
    height, cross, width = text.partition("x")
    width = width if cross else height
    if not (height.isdecimal() and width.isdecimal()):
        raise click.BadParameter(f"'{text}' is no size. Write HEIGHTxWIDTH, as in 256x320, or one number for a square.")
    if not all(len(side) <= len(str(MAX_SIDE)) and 0 < int(side) <= MAX_SIDE for side in (height, width)):
        raise click.BadParameter(f"'{text}' is out of bounds. Each side is from 1 to {MAX_SIDE}.")
    return int(height), int(width)


def read_targets(text: str) -> tuple[str, ...]:
    """Parse comma-separated target names."""
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in (*TARGET_NAMES, *ALIASES) and name not in (known := list_target_names()):
            near = difflib.get_close_matches(name.lower(), (*known, *ALIASES), 1)
            advice = f"Did you mean '{near[0]}'?" if near else f"Targets are {', '.join(known)}."
            raise click.BadParameter(f"'{name}' is no target. {advice}")
    return tuple(ALIASES.get(name, name) for name in names)


def list_target_names() -> tuple[str, ...]:
    """Every target's name, those of other packages too: slow beside the rest of `--help`, which shows TARGET_NAMES.

    Raises:
        PluginError: two packages give the same name.
    """
    return (*TARGET_NAMES, *(plugin.name for plugin in find_plugins(TARGET_GROUP, TARGET_NAMES)))


class TerminatedError(KeyboardInterrupt):
    """SIGTERM arrived. Raised like Ctrl-C's exception, so that everything that was begun is cleared up."""


@contextlib.contextmanager
def _raise_on_sigterm() -> Iterator[None]:
    def leave(*_: object) -> None:
        raise TerminatedError

    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Group(click.Group):
    """A command group that ends a failed or interrupted command with one line on stderr.

    The exit code is the GanportError's; 130 after Ctrl-C, 143 after SIGTERM.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _raise_on_sigterm():
                return super().invoke(ctx)
        except GanportError as error:
            said, exit_code = str(error), error.exit_code
        except click.UsageError as error:
            raise click.UsageError(escape_controls(error.format_message()), error.ctx) from None
        except OSError as error:
            if error.errno in (errno.EPIPE, None):  # click ends quietly where nobody reads on
                raise
            said, exit_code = f"{error.filename or 'output'}: {error.strerror}. Check space and permissions.", 1
        except TerminatedError:
            said, exit_code = "terminated", 128 + signal.SIGTERM
        except KeyboardInterrupt:
            said, exit_code = "interrupted", 128 + signal.SIGINT
        print_line(f"ganport: {said}", err=True)
        raise click.exceptions.Exit(exit_code)


class TextPath(click.Path):
    """A path that must be valid UTF-8: manifests hold file names as text, and some runtimes open no other files."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        try:
            str(path).encode()
        except UnicodeEncodeError:
            self.fail(f"{str(path)!r} is not UTF-8: rename it.", param, ctx)
        return path


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


class Place(TextPath):
    """A path, or a URL, which stays text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if isinstance(value, str) and "://" in value else super().convert(value, param, ctx)


PATH = TextPath(path_type=Path)
PLACE = Place(path_type=Path)
