"""Show the progress of a command."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from converters.terminal.output import print_line
from converters.text import escape_controls


def format_bar(done: int, total: int, width: int = 20) -> str:
    """A progress bar of `width` characters, and the two numbers."""
    filled = done * width // total
    return f"|{'#' * filled}{'.' * (width - filled)}| {done}/{total}"


@contextlib.contextmanager
def show_progress() -> Iterator[Callable[[str], None]]:
    """Give a function that shows the current step: on a terminal's last line, or as a line of its own on stderr."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not sys.stderr.isatty():
        yield lambda step: print_line(step, err=True)
        return
    with console.status("starting") as status:
        yield lambda step: status.update(Text(escape_controls(step)))
