"""An ONNX file in float64, by onnx's own reference implementation: slow, and asked only where float32 leaves doubt."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from converters.tensors import Array, Tensors

# What its operators, written in numpy, raise for what they do not know or cannot hold.
FAILURES = (
    *(NotImplementedError, RuntimeError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError),
    *(AssertionError, MemoryError),
)


def run_float64(model: ModelProto, feeds: Tensors) -> dict[str, Array] | None:
    """The outputs by name, floats in float64; None where the reference implementation does not run the model so.

    Args:
        model: Any opset that it knows; float32 constants are widened, casts in the graph stay.
        feeds: Inputs by name; float32 ones are widened.
    """
    wide = ModelProto()
    wide.CopyFrom(model)
    constants = [attribute.t for node in wide.graph.node for attribute in node.attribute if attribute.name == "value"]
    for tensor in [*wide.graph.initializer, *constants]:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    given = {name: array.astype(np.float64) if array.dtype == np.float32 else array for name, array in feeds.items()}
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(wide).run(None, given)
    except FAILURES:
        return None
    outputs = {value.name: np.asarray(result) for value, result in zip(wide.graph.output, results, strict=True)}
    narrow = any(array.dtype.kind == "f" and array.dtype != np.float64 for array in outputs.values())
    return None if narrow else outputs
