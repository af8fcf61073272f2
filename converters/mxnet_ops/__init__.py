"""ONNX operators in MXNet's terms, one module per family; importing the package fills OPS."""

from converters.mxnet_ops import convolution, elementwise, joining, normalization, padding
from converters.mxnet_ops.registry import OPS, Emitter, Value

__all__ = ["OPS", "Emitter", "Value", "convolution", "elementwise", "joining", "normalization", "padding"]
