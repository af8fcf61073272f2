"""Python values as text of the Wolfram Language."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import numpy as np

# Of the ports that take and give images, gray and RGB; others' are arrays whatever is asked for.
IMAGE_CHANNELS = (1, 3)
# Variables that the lines which build a net use themselves.
TAKEN = ("net", "width", "height")
SHORTEST_PLAIN, LONGEST_PLAIN = 1e-4, 1e6


def format_string(text: str) -> str:
    """A string literal, in a comment too: an asterisk, which could end one, and all but plain ASCII are escaped."""
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
    """A symbol for each name: letters and digits, as `_` makes a pattern; small at first, as the language's are not."""
    variables: list[str] = []
    for name in names:
        first, *rest = re.findall("[A-Za-z0-9]+", name) or ["x"]
        wanted = first[0].lower() + first[1:] + "".join(rest)
        wanted = f"x{wanted}" if wanted[0].isdigit() else wanted
        count, free = 2, wanted
        while free in (*TAKEN, *variables):
            free, count = f"{wanted}v{count}", count + 1
        variables.append(free)
    return variables


def format_real(value: float) -> str:
    """The shortest decimal that is `value` again in float32.

    More digits than a machine number has would make it one of arbitrary precision.

    Raises:
        ValueError: it is not finite.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} has no literal")
    single = np.float32(value)
    if value == 0 or SHORTEST_PLAIN <= abs(value) < LONGEST_PLAIN:
        text = np.format_float_positional(single, trim=".")
    else:
        mantissa, _, exponent = np.format_float_scientific(single, trim=".").partition("e")
        text = f"{mantissa}*^{int(exponent)}"
    assert np.float32(float(text.replace("*^", "e"))) == single
    return text


def format_list(items: Iterable[object]) -> str:
    """A list of texts, whole numbers and such lists."""
    return f"{{{', '.join(format_list(i) if isinstance(i, list | tuple) else str(i) for i in items)}}}"
