"""ONNX operators as layers of a NetGraph, one module per family; importing the package imports them and fills OPS."""

from importlib import import_module
from pkgutil import iter_modules

from converters.targets.wolfram.ops.registry import OPS, Emitter, Net, Value

__all__ = ["OPS", "Emitter", "Net", "Value"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
