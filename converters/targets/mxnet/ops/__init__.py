"""Converters of ONNX operators, one module per family; importing the package imports them all and so fills OPS.

ARCHITECTURE.md tells how to add an operator; `registry` explains what a converter is.
"""

from importlib import import_module
from pkgutil import iter_modules

from converters.targets.mxnet.ops.registry import INTERNAL_OPS, OPS, Context, Emitter, Value, constant_value

__all__ = ["INTERNAL_OPS", "OPS", "Context", "Emitter", "Value", "constant_value"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
