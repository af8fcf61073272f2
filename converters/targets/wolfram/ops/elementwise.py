"""Arithmetic and activations, element by element."""

from __future__ import annotations

from converters.targets.wolfram.ops.registry import OPS, Emitter, Value


@OPS.op("Add", since=7)
def add(emit: Emitter, a: Value, b: Value) -> Value:
    """Add(a, b); a one-channel tensor is repeated, a constant is one number."""
    return _binary(emit, a, b, "Plus", "+")


@OPS.op("Sub", since=7)
def sub(emit: Emitter, a: Value, b: Value) -> Value:
    """Sub(a, b), as Add."""
    return _binary(emit, a, b, "Subtract", "-")


@OPS.op("Mul", since=7)
def mul(emit: Emitter, a: Value, b: Value) -> Value:
    """Mul(a, b), as Add."""
    return _binary(emit, a, b, "Times", "*")


@OPS.op("Div", since=7)
def div(emit: Emitter, a: Value, b: Value) -> Value:
    """Div(a, b), as Add."""
    return _binary(emit, a, b, "Divide", "/")


@OPS.op("Relu", since=6)
def relu(emit: Emitter, x: Value) -> Value:
    """max(x, 0)."""
    return emit("ElementwiseLayer[Ramp]", x)


@OPS.op("Sigmoid", since=6)
def sigmoid(emit: Emitter, x: Value) -> Value:
    """1 / (1 + exp(-x))."""
    return emit("ElementwiseLayer[LogisticSigmoid]", x)


@OPS.op("Tanh", since=6)
def tanh(emit: Emitter, x: Value) -> Value:
    """tanh(x)."""
    return emit("ElementwiseLayer[Tanh]", x)


def _binary(emit: Emitter, a: Value, b: Value, function: str, sign: str) -> Value:
    if a.array is None and b.array is None:
        return emit(f"ThreadingLayer[{function}]", *_match(emit, a, b))
    if b.array is not None:
        emit.require_plane(a)
        return emit(f"ElementwiseLayer[# {sign} {_number(emit, b)} &]", a)
    emit.require_plane(b)
    return emit(f"ElementwiseLayer[{_number(emit, a)} {sign} # &]", b)


def _match(emit: Emitter, a: Value, b: Value) -> tuple[Value, Value]:
    """Both with as many channels; sizes of the plane that inference does not know are the kernel's to compare."""
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


def _number(emit: Emitter, value: Value) -> str:
    """The text of a constant of one element."""
    array = emit.require_array(value, "operand")
    if array.size != 1:
        raise emit.refuse(f"the shape of its constant '{value.name}' is {array.shape}", "Only numbers are translated")
    if array.dtype != "float32":
        raise emit.refuse(f"its constant '{value.name}' is {array.dtype}", "Only float32 tensors are translated")
    return emit.number(float(array.reshape(())), f"constant '{value.name}'")
