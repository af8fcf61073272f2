"""Element-wise arithmetic and activations."""

from __future__ import annotations

from converters.targets.wolfram.ops.registry import OPS, Emitter, Value

# ONNX operator to the function of a ThreadingLayer (two tensors) and the infix sign of an ElementwiseLayer (a tensor
# and a constant).
BINARY_OPS = {"Add": ("Plus", "+"), "Sub": ("Subtract", "-"), "Mul": ("Times", "*"), "Div": ("Divide", "/")}
# ONNX operator to the function of an ElementwiseLayer.
UNARY_OPS = {"Relu": "Ramp", "Sigmoid": "LogisticSigmoid", "Tanh": "Tanh"}


def _register_binary(op: str, function: str, sign: str) -> None:
    # Before opset 7, broadcasting was an attribute.
    @OPS.op(op, since=7)
    def convert(emit: Emitter, a: Value, b: Value) -> Value:
        if a.array is None and b.array is None:
            return emit(f"ThreadingLayer[{function}]", *_match_channels(emit, a, b))
        if b.array is not None:
            emit.require_plane(a)
            return emit(f"ElementwiseLayer[# {sign} {_format_scalar(emit, b)} &]", a)
        emit.require_plane(b)
        return emit(f"ElementwiseLayer[{_format_scalar(emit, a)} {sign} # &]", b)


def _register_unary(op: str, function: str) -> None:
    # Before opset 6, these operators had the attribute consumed_inputs.
    @OPS.op(op, since=6)
    def convert(emit: Emitter, x: Value) -> Value:
        return emit(f"ElementwiseLayer[{function}]", x)


for _op, (_function, _sign) in BINARY_OPS.items():
    _register_binary(_op, _function, _sign)
for _op, _function in UNARY_OPS.items():
    _register_unary(_op, _function)


def _match_channels(emit: Emitter, a: Value, b: Value) -> tuple[Value, Value]:
    """Both tensors with the same number of channels: a single channel is repeated.

    Heights and widths that shape inference does not know are left for the kernel to compare.

    Raises:
        UnsupportedOpError: another axis than the channels would be broadcast, or a number of channels is not known.
    """
    left, right = emit.require_plane(a), emit.require_plane(b)
    for axis in (0, 2, 3):
        if (left[axis] == 1) != (right[axis] == 1):
            raise emit.refuse(
                f"it broadcasts axis {axis} of {left} and {right}", "Only a single channel is broadcast: expand before"
            )
    channels = [shape[1] for shape in (left, right)]
    if not all(isinstance(count, int) for count in channels):
        raise emit.refuse(f"the channels of {left} and {right} are not known", "Export it with shapes")
    widest = max(int(count) for count in channels if isinstance(count, int))
    a, b = (
        emit.repeat(value, widest) if shape[1] == 1 and widest > 1 else value
        for value, shape in ((a, left), (b, right))
    )
    return a, b


def _format_scalar(emit: Emitter, value: Value) -> str:
    """The literal of a constant that has exactly one element."""
    array = emit.require_array(value, "operand")
    if array.size != 1:
        raise emit.refuse(f"the shape of its constant '{value.name}' is {array.shape}", "Only numbers are translated")
    emit.require_float32(value.name, array)
    return emit.number(float(array.reshape(())), f"constant '{value.name}'")
