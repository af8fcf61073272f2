"""What onnx's C++ functions raise for a model that they do not accept, and how that is told."""

import onnx
import onnx.version_converter

ONNX_ERRORS = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    onnx.version_converter.ConvertError,
    RuntimeError,
    ValueError,
    IndexError,
)


def first_line(error: Exception) -> str:
    """The first line of the error's message; the name of its type if the message is empty."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
