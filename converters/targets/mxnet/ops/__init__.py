"""Converters of ONNX operators, one module per family; importing the package fills OPS and INTERNAL_OPS.

`registry` explains what a converter is and how to add one.
"""

from converters.targets.mxnet.ops import (
    activations,
    convolution,
    elementwise,
    indexing,
    joining,
    logic,
    matrices,
    normalization,
    padding,
    pooling,
    reductions,
    resizing,
    shaping,
    slicing,
    tiles,
    types,
)
from converters.targets.mxnet.ops.registry import INTERNAL_OPS, OPS, Context, Emitter, Value, constant_value

__all__ = [
    "INTERNAL_OPS",
    "OPS",
    "Context",
    "Emitter",
    "Value",
    "activations",
    "constant_value",
    "convolution",
    "elementwise",
    "indexing",
    "joining",
    "logic",
    "matrices",
    "normalization",
    "padding",
    "pooling",
    "reductions",
    "resizing",
    "shaping",
    "slicing",
    "tiles",
    "types",
]
