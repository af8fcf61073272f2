"""Evaluate Wolfram Language text with Mathics, which knows the language but none of its neural-net layers.

A NetGraph therefore stays the expression that it is written as, and that is what the tests look at. Arrays are not
handed to Mathics, whose Import knows no WXF: each stands in the expression as Stored["its name"].
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mathics.session import MathicsSession

LIST, ASSOCIATION = "List", "Association"


@dataclass(frozen=True)
class Symbol:
    """A symbol, its context left out."""

    name: str


@dataclass(frozen=True)
class Call:
    """head[arguments]; a List becomes a Python list, an Association of string keys a dict."""

    head: Any
    arguments: tuple[Any, ...]


class Kernel:
    """A session as if newly opened; the one before it is no more.

    Args:
        version: What $VersionNumber is. Mathics' own is 10, which has no neural nets.
    """

    def __init__(self, version: float = 13.0) -> None:
        self._session = _open_session()
        self._session.definitions.reset_user_definitions()
        self.evaluate(f"Unprotect[$VersionNumber]; $VersionNumber = {version}")

    def store(self, names: Iterable[str]) -> None:
        """Let Import[file, "WXF"] give the association of these arrays for any file."""
        rules = ", ".join(f"{quote(name)} -> Stored[{quote(name)}]" for name in names)
        self.evaluate(f'Unprotect[Import]; Import[_String, "WXF"] := <|{rules}|>')

    def evaluate(self, text: str) -> Any:
        """The value of one expression, as Python values, Symbol and Call."""
        return _read(self._session.evaluate(text))

    def evaluate_all(self, text: str) -> None:
        """Evaluate expressions that empty lines part."""
        for part in text.split("\n\n"):
            self.evaluate(part)

    def get(self, path: Path) -> None:
        """Evaluate a file."""
        assert self.evaluate(f"Get[{quote(str(path))}]") != Symbol("$Failed"), path

    @property
    def said(self) -> list[str]:
        """Messages and prints of the last evaluation, a message as "tag: text"."""
        facts = [line.get_data() for line in self._session.evaluation.out]
        return [f"{fact['tag']}: {fact['text']}" if fact.get("message") else fact["text"] for fact in facts]


def quote(text: str) -> str:
    """A string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@functools.cache
def _open_session() -> MathicsSession:
    """One for all: opening it takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own modules, and of sympy's, at their import
        from mathics.core.load_builtin import import_and_load_builtins
        from mathics.session import MathicsSession

        import_and_load_builtins()
        return MathicsSession()


def _read(value: Any) -> Any:
    from mathics.core import atoms, symbols

    if isinstance(value, atoms.String):
        return value.value
    if isinstance(value, atoms.Integer | atoms.Real):
        return value.value
    if isinstance(value, symbols.Symbol):
        return Symbol(value.get_name().rpartition("`")[2])
    head = _read(value.get_head())
    elements = [_read(element) for element in value.elements]
    if head == Symbol(LIST):
        return elements
    if head == Symbol(ASSOCIATION):
        return dict(rule.arguments for rule in elements)
    return Call(head.name if isinstance(head, Symbol) else head, tuple(elements))
