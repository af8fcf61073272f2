"""Print to the terminal: a line of text, in which nothing that a file holds can act on the terminal, or JSON."""

from __future__ import annotations

import json

import click

from converters.text import escape_controls


def print_line(text: object, err: bool = False) -> None:
    """Print one line on stdout, or with `err` on stderr; control characters in it are printed as escapes."""
    click.echo(escape_controls(str(text)), err=err)


def print_json(value: object) -> None:
    """Print JSON types on stdout; everything but ASCII is printed as escapes."""
    click.echo(json.dumps(value, indent=2))
