"""Show how far a command is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import click


def format_bar(done: int, total: int, width: int = 20) -> str:
    """A progress bar and its figures."""
    filled = done * width // total
    return f"|{'#' * filled}{'.' * (width - filled)}| {done}/{total}"


@contextlib.contextmanager
def show_progress() -> Iterator[Callable[[str], None]]:
    """Show the current step on a terminal's last line; print it once per line elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not sys.stderr.isatty():
        yield lambda step: click.echo(step, err=True)
        return
    with console.status("starting") as status:
        yield status.update
