"""Say on the terminal which plugins are left out, and why."""

from __future__ import annotations

from converters.terminal.output import print_line
from reference.plugins import list_left_out


def tell_left_out() -> None:
    """Print one line on stderr for each plugin that was looked for and is left out."""
    for error in list_left_out():
        print_line(f"ganport: {error}", err=True)
