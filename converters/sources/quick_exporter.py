"""Spare torch's exporter work that changes nothing of what it writes."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

# Methods of torch's SymNode, a size that is not a number yet, that make another one of two. Not "add": some
# values in a graph with a loop then get other names.
BINARY_METHODS = (
    *("sub", "mul", "mod", "floordiv", "int_floordiv", "sym_max", "sym_min"),
    *("eq", "ne", "ge", "gt", "le", "lt", "and_", "or_", "sym_and", "sym_or"),
)

_operators: dict[tuple[object, ...], Any] = {}


@contextlib.contextmanager
def quick_exporter() -> Iterator[None]:
    """Export without the slow rule; read torch's operators once, and keep what is worked out of free sizes.

    What is changed in torch is changed for all threads, so that only one may be here.
    """
    with _without_slow_rule(), _operators_kept(), _sizes_kept():
        yield


@contextlib.contextmanager
def _without_slow_rule() -> Iterator[None]:
    """Leave out the rule of torch's exporter that joins two Slices to a Split: it compares every node with every other.

    In large nets that takes long, and it changes nothing in ours.
    """
    try:
        from onnxscript.rewriter.rules.common import slice_split_rule
    except ImportError:  # another release of onnxscript
        yield
        return
    with patch.object(slice_split_rule, "try_rewrite", lambda *given, **options: None):
        yield


@contextlib.contextmanager
def _operators_kept() -> Iterator[None]:
    """Keep the table of how torch's operators become ONNX's, which is the same for every export."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    read: Callable[..., Any] = ONNXRegistry.from_torchlib

    def look_up(**options: Any) -> Any:
        key = tuple(options.items())
        if key not in _operators:
            _operators[key] = read(**options)
        registry = copy.copy(_operators[key])
        registry.functions = {name: list(known) for name, known in registry.functions.items()}
        return registry

    with patch.object(ONNXRegistry, "from_torchlib", staticmethod(look_up)):
        yield


@contextlib.contextmanager
def _sizes_kept() -> Iterator[None]:
    """Keep what torch works out of two free sizes: for every tensor it asks again, mostly what it knows.

    The strides of a tensor, its number of elements and what is compared with them are such, through Python and sympy.
    """
    from torch.fx.experimental.proxy_tensor import get_proxy_mode
    from torch.fx.experimental.sym_node import SymNode

    known: dict[tuple[object, ...], Any] = {}
    traced = False

    def keep(name: str) -> Callable[[Any, Any], Any]:
        work_out: Callable[[Any, Any], Any] = getattr(SymNode, name)

        def look_up(a: Any, b: Any) -> Any:
            nonlocal traced
            # A replacement of one size by another changes the answers.
            version = getattr(a.shape_env, "_replacements_version_counter", None)
            if traced or version is None or not isinstance(b, SymNode):
                return work_out(a, b)
            if get_proxy_mode() is not None:  # what is traced becomes a node of its own each time
                traced = True
                try:
                    return work_out(a, b)
                finally:
                    traced = False
            key = (name, id(a.shape_env), version, a._expr, b._expr, a.pytype, b.pytype)
            if key in known:
                return known[key]
            result = work_out(a, b)
            if not getattr(result._expr, "is_symbol", False):  # torch tells sizes of the inputs apart by their nodes
                known[key] = result
            return result

        return look_up

    with contextlib.ExitStack() as patches:
        for name in BINARY_METHODS:
            if hasattr(SymNode, name):
                patches.enter_context(patch.object(SymNode, name, keep(name)))
        yield
