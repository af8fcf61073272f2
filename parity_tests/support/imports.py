"""The modules of the product, and what each of them imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from parity_tests.support.places import ROOT

PACKAGES = ("consumers", "converters", "reference")
MODULES = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
PRODUCT_MODULES = sorted([ROOT / "cli.py", ROOT / "ganport.py", *MODULES])


def find_imports(path: Path, *, for_types_too: bool = False) -> Iterator[str]:
    """Dotted names that a module imports, by a statement or by a string constant handed to import_module().

    Args:
        path: The module's file.
        for_types_too: Whether to include imports under `if TYPE_CHECKING`.
    """

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not for_types_too:
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant))
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")))
