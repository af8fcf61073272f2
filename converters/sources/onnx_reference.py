"""Run an ONNX graph with onnx's reference implementation.

It is slow. It runs in float64 if a file misses its gate, and in float32 if ONNX Runtime does not run the file.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from converters.tensors import Array, Tensors

# What the reference implementation raises for an operator it lacks, and what numpy raises inside an operator.
EVALUATOR_ERRORS = (
    *(NotImplementedError, RuntimeError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError),
    *(AssertionError, MemoryError),
)


def run_float32(model: ModelProto, feeds: Tensors) -> dict[str, Array] | None:
    """Compute a model's outputs as they are.

    Args:
        model: Of any opset that the reference implementation knows.
        feeds: Arrays by input name.

    Returns:
        Arrays by output name; None if the model cannot be run.
    """
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(model).run(None, dict(feeds))
    except EVALUATOR_ERRORS:
        return None
    return {value.name: np.asarray(result) for value, result in zip(model.graph.output, results, strict=True)}


def run_float64(model: ModelProto, feeds: Tensors) -> dict[str, Array] | None:
    """Compute a model's outputs with float64 in place of float32.

    Args:
        model: Of any opset that the reference implementation knows. Its float32 constants become float64; its Cast
            nodes stay.
        feeds: Arrays by input name; float32 ones become float64.

    Returns:
        Arrays by output name, floats in float64; None if the model cannot be run, or an output is a narrower float.
    """
    wide = ModelProto()
    wide.CopyFrom(model)
    constants = [attribute.t for node in wide.graph.node for attribute in node.attribute if attribute.name == "value"]
    for tensor in [*wide.graph.initializer, *constants]:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    inputs = {name: array.astype(np.float64) if array.dtype == np.float32 else array for name, array in feeds.items()}
    outputs = run_float32(wide, inputs)
    narrow = outputs is None or any(a.dtype.kind == "f" and a.dtype != np.float64 for a in outputs.values())
    return None if narrow else outputs
