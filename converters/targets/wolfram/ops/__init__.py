"""ONNX operators as layers of a NetGraph, one module per operator family. Importing the package fills OPS."""

from converters.targets.wolfram.ops import convolution, elementwise, joining, normalization, padding
from converters.targets.wolfram.ops.registry import OPS, Emitter, Net, Value

__all__ = ["OPS", "Emitter", "Net", "Value", "convolution", "elementwise", "joining", "normalization", "padding"]
