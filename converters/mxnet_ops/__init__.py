"""ONNX operators in MXNet's terms, one module per family; importing the package fills OPS and OWN_OPS."""

from converters.mxnet_ops import convolution, elementwise, joining, normalization, padding, shaping, tiles
from converters.mxnet_ops.registry import OPS, OWN_OPS, Context, Emitter, Value

__all__ = [
    "OPS",
    "OWN_OPS",
    "Context",
    "Emitter",
    "Value",
    "convolution",
    "elementwise",
    "joining",
    "normalization",
    "padding",
    "shaping",
    "tiles",
]
