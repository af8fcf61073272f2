"""Operators that change only the element type, or nothing: Cast, Identity, Dropout."""

from __future__ import annotations

from converters.onnx_graph.shapes import name_dtype
from converters.targets.mxnet.ops.elementwise import like
from converters.targets.mxnet.ops.registry import OPS, Emitter, Value


@OPS.op("Cast", since=6)
def cast(emit: Emitter, x: Value, *, to: int, saturate: int = 1, round_mode: str = "up") -> Value:
    """x with element type `to`. `saturate` and `round_mode` concern 8-bit floats only, which are refused."""
    return _cast(emit, x, name_dtype(to))


@OPS.op("CastLike", since=15)
def cast_like(emit: Emitter, x: Value, target: Value, *, saturate: int = 1, round_mode: str = "up") -> Value:
    """x with the element type of `target`; other attributes as of Cast."""
    return _cast(emit, x, target.dtype)


@OPS.op("Identity", since=1)
def identity(emit: Emitter, x: Value) -> Value:
    """x."""
    return x


@OPS.op("Dropout", since=7)
def dropout(emit: Emitter, data: Value, *, ratio: float = 0.5) -> list[Value]:
    """Inference: `data` unchanged, and a mask of ones."""
    return _keep_all(emit, data)


@OPS.op("Dropout", since=12)
def dropout_or_training(
    emit: Emitter, data: Value, ratio: Value | None = None, training_mode: Value | None = None, *, seed: int = 0
) -> list[Value]:
    """Inference: `data` unchanged, and a mask of ones. Training mode is refused."""
    if training_mode is not None and bool(emit.require_array(training_mode, "training_mode").any()):
        drops = ratio is None or bool(emit.require_array(ratio, "ratio").any())
        if drops:
            raise emit.refuse("it is in training mode", "Export the model for inference")
    return _keep_all(emit, data)


def _keep_all(emit: Emitter, data: Value) -> list[Value]:
    return [data, emit.cast(like(data, emit("ones_like", data)), "bool")]


def _cast(emit: Emitter, x: Value, dtype: str) -> Value:
    emit.require_dtype(dtype)
    if dtype == "bool" and x.dtype != "bool":
        return emit.cast(like(x, emit("_not_equal_scalar", x, scalar=0.0)), "bool")
    return emit.cast(x, dtype)
