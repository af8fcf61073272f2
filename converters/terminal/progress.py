"""Show the progress of a command."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from converters.terminal.output import print_line
from converters.terminal.supervise import begin_step
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

    if not sys.stderr.isatty():
        yield lambda step: _show(step, lambda line: print_line(line, err=True))
        return
    with Console(stderr=True).status("starting") as status:
        yield lambda step: _show(step, lambda line: status.update(Text(escape_controls(line))))


def _show(step: str, show: Callable[[str], None]) -> None:
    begin_step(step)
    show(step)
