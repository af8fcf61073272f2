"""Text that other people chose (names in files, paths, metadata), made safe for a terminal, for Markdown, for code."""

from __future__ import annotations

import json
import re
import unicodedata

# Unicode categories that move the cursor, start a line or turn the writing direction instead of showing a character:
# control, format, lone surrogate, line separator, paragraph separator.
UNSEEN_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
# The joiners are format characters too, but emoji and several scripts need them, and they move nothing.
JOINERS = "\u200c\u200d"
# What makes a construct of Markdown anywhere in a line. An underscore inside a word, an ampersand before a space and a
# bracket that no `](`, `][` or `]:` follows make none; neither does `>`, where no `<` stands unescaped before it.
MARKDOWN = re.compile(r"[\\`*<|~$]|\](?=[(\[:])|&(?=[#A-Za-z])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
# Where a backslash goes so that no heading, quote or list starts at the beginning of a line: `\# a`, `1\. a`.
MARKDOWN_START = re.compile(r"^(\d+(?=[.)])|(?=[#>+-]))")


def escape_controls(text: str) -> str:
    """One line of text for a terminal; what it would act on, line breaks too, becomes an escape such as `\\x1b`."""
    return "".join(map(_escape_control, text))


def _escape_control(character: str) -> str:
    if character in JOINERS or unicodedata.category(character) not in UNSEEN_CATEGORIES:
        return character
    return character.encode("unicode_escape").decode("ascii")


def escape_markdown(text: str) -> str:
    """One line of Markdown that shows `text` as it is: no HTML, link, heading or further table cell comes of it."""
    escaped = MARKDOWN.sub(lambda found: f"\\{found[0]}", escape_controls(text))
    return MARKDOWN_START.sub(r"\1\\", escaped)


def format_code_span(text: str) -> str:
    """A code span of Markdown that shows `text`, to stand outside of tables."""
    shown = escape_controls(text)
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence, gap = "`" * (longest + 1), " " if shown[:1] == "`" or shown[-1:] == "`" else ""
    return f"{fence}{gap}{shown}{gap}{fence}"


def format_literal(text: str) -> str:
    """A string literal that Python, JavaScript and JSON read as `text`."""
    return json.dumps(text, ensure_ascii=False)
