"""Format Python values as Wolfram Language source text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import numpy as np

# Channel counts of the ports that take or give images (gray, RGB). A port with another count always takes arrays.
IMAGE_CHANNELS = (1, 3)
# Variables that the example code in a bundle's README uses itself.
RESERVED_VARIABLES = ("net", "width", "height")
# Magnitudes in [MIN_POSITIONAL, MAX_POSITIONAL) are written without an exponent.
MIN_POSITIONAL, MAX_POSITIONAL = 1e-4, 1e6


def format_string(text: str) -> str:
    """Format a string literal that is also safe inside a comment.

    Everything but plain ASCII is escaped, and so is the asterisk, because `*)` would end a comment.
    """
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character == "\n":
        return "\\n"
    if " " <= character <= "~" and character != "*":
        return character
    code = ord(character)
    return f"\\:{code:04x}" if code <= 0xFFFF else f"\\|{code:06x}"


def make_variables(names: Iterable[str]) -> list[str]:
    """Make one distinct Wolfram symbol per name.

    Symbols consist of letters and digits, because `_` is pattern syntax. They start with a lower-case letter, because
    the language's own symbols start with a capital.
    """
    variables: list[str] = []
    for name in names:
        first, *rest = re.findall("[A-Za-z0-9]+", name) or ["x"]
        base = first[0].lower() + first[1:] + "".join(rest)
        base = f"x{base}" if base[0].isdigit() else base
        count, variable = 2, base
        while variable in (*RESERVED_VARIABLES, *variables):
            variable, count = f"{base}v{count}", count + 1
        variables.append(variable)
    return variables


def format_real(value: float) -> str:
    """Format the shortest decimal that reads back as the same float32.

    The kernel reads a literal with more digits than a machine number as an arbitrary-precision number.

    Raises:
        ValueError: `value` is not finite.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} has no literal")
    single = np.float32(value)
    if value == 0 or MIN_POSITIONAL <= abs(value) < MAX_POSITIONAL:
        text = np.format_float_positional(single, trim=".")
    else:
        mantissa, _, exponent = np.format_float_scientific(single, trim=".").partition("e")
        text = f"{mantissa}*^{int(exponent)}"
    assert np.float32(float(text.replace("*^", "e"))) == single
    return text


def format_list(items: Iterable[object]) -> str:
    """Format a list literal; an item is an integer, Wolfram source text, or a list or tuple of such items."""
    return f"{{{', '.join(format_list(i) if isinstance(i, list | tuple) else str(i) for i in items)}}}"
