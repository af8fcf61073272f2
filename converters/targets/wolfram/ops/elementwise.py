"""Element-wise arithmetic and activations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.onnx_graph.shapes import Shape
from converters.targets.wolfram.ops.registry import OPS, RANK, Emitter, Value
from converters.tensors import Array

# ONNX operator to the function of a ThreadingLayer (two tensors) and the infix sign of an ElementwiseLayer (a tensor
# and a constant).
BINARY_OPS = {"Add": ("Plus", "+"), "Sub": ("Subtract", "-"), "Mul": ("Times", "*"), "Div": ("Divide", "/")}
# ONNX operator to the function of an ElementwiseLayer that computes it of one tensor taken twice.
TWICE = {"Add": "2. * #", "Mul": "#^2"}
# ONNX operator to the function of an ElementwiseLayer.
UNARY_OPS = {
    "Identity": "# &",  # an input that is an output, too
    "Relu": "Ramp",
    "Sigmoid": "LogisticSigmoid",
    "Tanh": "Tanh",
    "Sqrt": "Sqrt",
    "Neg": "-# &",
}

# A tensor with one number per channel c: factor and offset of x op c and of c op x.
AFFINE: dict[
    str, tuple[Callable[[Array], tuple[Array, Array | None]], Callable[[Array], tuple[Array, Array | None]]]
] = {
    "Add": (lambda c: (np.ones_like(c), c), lambda c: (np.ones_like(c), c)),
    "Sub": (lambda c: (np.ones_like(c), -c), lambda c: (-np.ones_like(c), c)),
    "Mul": (lambda c: (c, None), lambda c: (c, None)),
    "Div": (lambda c: (1 / c, None), lambda c: (c, None)),
}


def _register_binary(op: str, function: str, sign: str) -> None:
    # Before opset 7, broadcasting was an attribute.
    @OPS.op(op, since=7)
    def convert(emit: Emitter, a: Value, b: Value) -> Value:
        for first, (constant, other) in enumerate(((b, a), (a, b))):
            if constant.array is None or other.array is not None:
                continue
            emit.require_float32(constant.name, constant.array)
            if constant.array.size == 1 and constant.array.ndim <= emit.require_rank(other):
                number = emit.number(float(constant.array.reshape(())), f"constant '{constant.name}'")
                text = f"{number} {sign} #" if first else f"# {sign} {number}"
                return emit(f"ElementwiseLayer[{text} &]", other)
            channels = _read_channels(emit, constant.array, other)
            if channels is not None and not (op == "Div" and first):
                return emit.scale_channels(other, *AFFINE[op][first](channels.astype(np.float64)))
        if op in TWICE and a.source is not None and a.source == b.source:
            return emit(f"ElementwiseLayer[{TWICE[op]} &]", a)
        return emit(f"ThreadingLayer[{function}]", *_match(emit, a, b))


def _register_unary(op: str, function: str) -> None:
    # Before opset 6, these operators had the attribute consumed_inputs.
    @OPS.op(op, since=6)
    def convert(emit: Emitter, x: Value) -> Value:
        return emit(f"ElementwiseLayer[{function}]", x)


for _op, (_function, _sign) in BINARY_OPS.items():
    _register_binary(_op, _function, _sign)
for _op, _function in UNARY_OPS.items():
    _register_unary(_op, _function)


@OPS.op("LeakyRelu", since=6)
def leaky_relu(emit: Emitter, x: Value, *, alpha: float = 0.01) -> Value:
    """x where it is positive, else alpha x: the larger of both where alpha is at most 1."""
    if not 0 <= alpha <= 1:
        raise emit.refuse(f"its alpha is {alpha}", "Use one from 0 to 1")
    return emit(f"ElementwiseLayer[Max[#, {emit.number(alpha, 'alpha')} * #] &]", x)


@OPS.op("Elu", since=6)
def elu(emit: Emitter, x: Value, *, alpha: float = 1.0) -> Value:
    """x where it is positive, else e^x - 1, which is the page "ElementwiseLayer"'s "ELU"."""
    if alpha != 1:
        raise emit.refuse(f"its alpha is {alpha}", 'The "ELU" of ElementwiseLayer has alpha 1')
    return emit('ElementwiseLayer["ELU"]', x)


@OPS.op("Clip", since=11)
def clip(emit: Emitter, x: Value, lowest: Value | None = None, highest: Value | None = None) -> Value:
    """The nearest number from `lowest` to `highest`; one that is left out sets no limit."""
    text = "#"
    for limit, function in ((lowest, "Max"), (highest, "Min")):
        if limit is not None:
            number = emit.number(float(emit.require_array(limit, "limit").reshape(())), f"limit '{limit.name}'")
            text = f"{function}[{text}, {number}]"
    if text == "#":
        raise emit.refuse("it has no limits", "Leave it out")
    return emit(f"ElementwiseLayer[{text} &]", x)


def _read_channels(emit: Emitter, array: Array, other: Value) -> Array | None:
    """The constant's number for each channel of a plane, (C,); None if it is no such constant."""
    if emit.require_rank(other) != RANK or array.ndim > RANK:
        return None
    shape = (1,) * (RANK - array.ndim) + array.shape
    assert other.shape is not None
    if (shape[0], *shape[2:]) != (1, 1, 1) or shape[1] != other.shape[1]:
        return None
    return array.reshape(-1)


def _match(emit: Emitter, a: Value, b: Value) -> tuple[Value, Value]:
    """Both tensors with the same sizes: an axis of size 1 is repeated; a constant becomes a layer.

    Sizes that shape inference does not know are left for the kernel to compare.

    Raises:
        UnsupportedOpError: the ranks differ, or an axis would be broadcast whose size is not known.
    """
    if a.array is not None and b.array is not None:
        raise emit.refuse(f"its input '{a.name}' is a constant, and so is '{b.name}'", "Fold the model's constants")
    constant = any(value.array is not None for value in (a, b))
    rank = max(emit.require_rank(a), emit.require_rank(b))
    a, b = (_as_layer(emit, value, rank) for value in (a, b))
    left, right = a.shape, b.shape
    assert left is not None
    assert right is not None
    if len(left) != len(right):
        raise emit.refuse(f"it broadcasts {left} and {right}, whose ranks differ", "Expand before")
    if not constant and (left[0] == 1) != (right[0] == 1):
        raise emit.refuse(f"it broadcasts axis 0 of {left} and {right}", "A NetGraph has no batch axis: expand before")
    sizes = [_join(emit, axis, left, right) for axis in range(1, rank)]
    matched = []
    for value, shape in ((a, left), (b, right)):
        wanted = tuple(size if own == 1 and size != 1 else own for own, size in zip(shape[1:], sizes, strict=True))
        matched.append(emit.repeat(value, wanted))
    return matched[0], matched[1]


def _as_layer(emit: Emitter, value: Value, rank: int) -> Value:
    """A constant as a layer, without the batch axis that it would have if it had `rank` axes."""
    if value.array is None:
        return value
    shape = (1,) * (rank - value.array.ndim) + value.array.shape
    if shape[0] != 1:
        raise emit.refuse(f"its constant '{value.name}' is {value.array.shape}", "A NetGraph has no batch axis")
    return emit.constant(value, value.array.reshape(shape[1:]))


def _join(emit: Emitter, axis: int, left: Shape, right: Shape) -> int | str | None:
    """The size of an axis after broadcasting."""
    sizes = (left[axis], right[axis])
    if (sizes[0] == 1) == (sizes[1] == 1):
        return sizes[0]
    size = sizes[1] if sizes[0] == 1 else sizes[0]
    if not isinstance(size, int):
        raise emit.refuse(f"it broadcasts axis {axis} of {left} and {right}", "Convert with --size HxW")
    return size
