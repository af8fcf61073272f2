"""How one ONNX node becomes MXNet nodes: the registry of MXNet's functions, and what they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from converters.errors import UnsupportedOpError
from converters.onnx_graph.op_registry import Registry, Translation
from converters.targets.mxnet.sizes import Dim, SymbolicDim
from converters.targets.mxnet.symbol import SymbolGraph
from converters.tensors import Array

# ONNX's element types that MXNet's operators take, by numpy's names, and what they are there.
MXNET_DTYPES = {
    "float32": "float32",
    "float64": "float64",
    "float16": "float16",
    "uint8": "uint8",
    "int8": "int8",
    "int32": "int32",
    "int64": "int64",
    "bool": "uint8",  # 0 or 1: few operators know MXNet's own bool
}
FLOATS = ("float32", "float64", "float16")
COMPUTES_WITH = f"MXNet computes with {', '.join(MXNET_DTYPES)} only"
WITH_SIZE = "Convert with --size HxW"


@dataclass(frozen=True)
class Value:
    """A tensor of the ONNX graph, or one in between.

    Attributes:
        name: Its name in the ONNX graph.
        shape: In ONNX; None if its rank is not known. In MXNet a tensor of rank 0 is of shape (1,).
        array: Its value if it is a constant.
        node: Index of the MXNet node that gives it; None for a constant that no node has taken yet.
        output: Which output of that node.
        dtype: numpy's name of ONNX's element type; that of MXNet is in MXNET_DTYPES.
        sizes: Its value as far as it follows from shapes (`size_vectors`).
        refusal: Why it cannot be computed: raised only where it is used.
    """

    name: str
    shape: tuple[Dim, ...] | None = None
    array: Array | None = None
    node: int | None = None
    output: int = 0
    dtype: str = "float32"
    sizes: Array | None = None
    refusal: UnsupportedOpError | None = None

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    @property
    def known(self) -> Array | None:
        """Its value: a constant, or sizes."""
        return self.sizes if self.array is None else self.array


def constant_value(name: str, array: Array) -> Value:
    """A constant of the ONNX graph."""
    return Value(name, array.shape, array, dtype=array.dtype.name)


@dataclass(frozen=True)
class Context:
    """What the nodes of one symbol share.

    Attributes:
        graph: The symbol under construction.
        planes: Tensors with channels last to the first that has their height and width.
        params: Arrays by name, filled as constants are used.
        constants: Nodes of constants that are variables already.
        shared: Values that several nodes need.
        axes: Where each free size is found: a tensor and its axis.
        outputs: Names of the graph's outputs, which no constant may take.
        checks: For each ONNX node, those of MXNet at any of which it stops where a recorded size is wrong.
    """

    graph: SymbolGraph
    planes: Mapping[str, str] = field(default_factory=dict)
    params: dict[str, Array] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)
    shared: dict[tuple[object, ...], Value] = field(default_factory=dict)
    axes: dict[SymbolicDim, tuple[Value, int]] = field(default_factory=dict)
    outputs: frozenset[str] = frozenset()
    checks: dict[str, list[int]] = field(default_factory=dict)


class Emitter(Translation):
    """Adds the MXNet nodes of one ONNX node to the symbol.

    Args:
        where: The ONNX node, for messages.
        outputs: The ONNX node's; the MXNet nodes are named after the first.
        context: What the nodes of one symbol share.
    """

    def __init__(self, where: str, outputs: Sequence[str], context: Context) -> None:
        super().__init__(where)
        self.outputs = outputs
        self.output = next(name for name in outputs if name)
        self._context = context

    def __call__(self, op: str, *inputs: Value, suffix: str = "", dtype: str | None = None, **attrs: object) -> Value:
        """Add the MXNet operator `op`.

        Args:
            suffix: Of the node's name, which is its operator if left out. The node that gives the ONNX node's output
                gets the output's name in the end.
            dtype: Of its output, that of the first input if left out; MXNet's attribute of this name for
                those operators that have it.
        """
        return self.emit_many(op, 1, *inputs, suffix=suffix, dtype=dtype, **attrs)[0]

    def emit_many(
        self, op: str, outputs: int, *inputs: Value, suffix: str = "", dtype: str | None = None, **attrs: object
    ) -> list[Value]:
        """The same for an operator of several outputs."""
        places = [self._place_of(value) for value in inputs]
        name = self._context.graph.make_name(f"{self.output}_{suffix or op.strip('_').lower()}")
        if dtype is not None and op in TAKES_DTYPE:
            attrs["dtype"] = self.require_dtype(dtype)
        text = {key: _format(value) for key, value in attrs.items()}
        node = self._context.graph.add(op, name, text, places, outputs)
        kind = dtype or (inputs[0].dtype if inputs else "float32")
        return [Value(name, node=node, output=output, dtype=kind) for output in range(outputs)]

    def constant(self, suffix: str, array: Array) -> Value:
        """A constant that the ONNX graph does not hold in this form."""
        return constant_value(self._context.graph.make_name(f"{self.output}_{suffix}"), array)

    def cast(self, x: Value, dtype: str, suffix: str = "cast") -> Value:
        """x as `dtype` if it is not; for bool, it must be 0 or 1 already."""
        if x.array is not None:
            return x if x.dtype == dtype else self.constant(suffix, x.array.astype(dtype))
        if MXNET_DTYPES.get(x.dtype) == self.require_dtype(dtype):
            return replace(x, dtype=dtype)
        return replace(self("Cast", x, suffix=suffix, dtype=dtype), shape=x.shape)

    def reshape(self, x: Value, shape: Sequence[int], suffix: str = "reshaped") -> Value:
        """MXNet's Reshape, with its special numbers (0, -1, -2, -3, -4)."""
        return self("Reshape", x, suffix=suffix, shape=tuple(shape))

    def plane_of(self, x: Value) -> str:
        """A name that tensors with channels last have in common if their planes are of one size."""
        return self._context.planes[x.name]

    def memoize(self, key: tuple[object, ...], make: Callable[[], Value]) -> Value:
        """What `make` gives the first time that this key is asked for."""
        if key not in self._context.shared:
            self._context.shared[key] = make()
        return self._context.shared[key]

    def assume_shape(self, value: Value) -> None:
        """Note that the shape of a value is right only where MXNet does not refuse to compute it."""
        if value.node is not None:
            self._context.checks.setdefault(self.where, []).append(value.node)

    def axis_of(self, size: SymbolicDim) -> tuple[Value, int] | None:
        """A tensor, and the axis of it that is of this size."""
        return self._context.axes.get(size)

    def multiple_of(self, size: SymbolicDim) -> tuple[SymbolicDim, int] | None:
        """A size that some axis has and that is so many times as long."""
        ((symbols, factor),) = size.terms
        for other in self._context.axes:
            if len(other.terms) == 1 and other.terms[0][0] == symbols:
                times = other.terms[0][1] / factor
                if times.denominator == 1 and times > 1:
                    return other, times.numerator
        return None

    def require_shape(self, value: Value) -> tuple[Dim, ...]:
        """The shape of an input, sizes free or not.

        Raises:
            UnsupportedOpError: its rank is not known.
        """
        self.require_rank(value)
        assert value.shape is not None
        return value.shape

    def require_fixed_shape(self, value: Value) -> tuple[int, ...]:
        """The shape of an input.

        Raises:
            UnsupportedOpError: a size is free.
        """
        shape = self.require_shape(value)
        fixed = tuple(size for size in shape if isinstance(size, int))
        if len(fixed) != len(shape):
            raise self.refuse(f"the shape ({_show(shape)}) of its input '{value.name}' is not fixed", WITH_SIZE)
        return fixed

    def require_fixed_size(self, value: Value, axis: int) -> int:
        """The size of one axis of an input.

        Raises:
            UnsupportedOpError: it is free.
        """
        size = self.require_shape(value)[axis]
        if isinstance(size, SymbolicDim):
            raise self.refuse(f"axis {axis} of its input '{value.name}' has the free size {size}", WITH_SIZE)
        return size

    def require_fixed(self, size: Dim) -> int:
        """A size that is to be told.

        Raises:
            UnsupportedOpError: it is free.
        """
        if isinstance(size, SymbolicDim):
            raise self.refuse_sizes("size", [size])
        return size

    def require_ints(self, value: Value, role: str) -> list[int]:
        """The numbers of a constant input, flat."""
        return [int(number) for number in self.require_array(value, role).flat]

    def require_sizes(self, value: Value, role: str) -> list[Dim]:
        """The numbers of an input that is a constant or follows from shapes, flat.

        Raises:
            UnsupportedOpError: it is computed in the graph.
        """
        if value.array is None and value.sizes is not None:
            return list(value.sizes.flat)
        return list(self.require_ints(value, role))

    def refuse_sizes(self, role: str, sizes: Sequence[Dim]) -> UnsupportedOpError:
        """The error for sizes that MXNet cannot be told while they are free."""
        return self.refuse(f"MXNet cannot be told its {role} ({_show(sizes)})", WITH_SIZE)

    def _place_of(self, value: Value) -> tuple[int, int]:
        """Index of the node that gives a value, and which of its outputs it is."""
        self.require_tensor(value)
        if value.node is not None:
            return value.node, value.output
        array = value.array
        assert array is not None
        if value.name not in self._context.constants:
            name = value.name
            if name in self._context.outputs or self._context.graph.has_node(name):
                name = self._context.graph.make_name(f"{name}_constant")
            self._context.params[name] = np.atleast_1d(array).astype(MXNET_DTYPES[array.dtype.name])
            self._context.constants[value.name] = self._context.graph.variable(name)
        return self._context.constants[value.name], 0

    def require_dtype(self, dtype: str) -> str:
        """What an element type is in MXNet.

        Raises:
            UnsupportedOpError: MXNet does not have it.
        """
        if dtype not in MXNET_DTYPES:
            raise self.refuse(f"it makes {dtype}", COMPUTES_WITH)
        return MXNET_DTYPES[dtype]

    def require_tensor(self, value: Value) -> None:
        """Check that MXNet can hold a value.

        Raises:
            UnsupportedOpError: it is of another type, or empty, or refused itself.
        """
        if value.refusal is not None:
            raise value.refusal
        what = "tensor" if value.array is None else "constant"
        if value.dtype not in MXNET_DTYPES:
            raise self.refuse(f"its {what} '{value.name}' is {value.dtype}", COMPUTES_WITH)
        if value.shape is not None and 0 in value.shape:
            raise self.refuse(
                f"the shape of its {what} '{value.name}' is ({_show(value.shape)})", "MXNet has no empty tensors"
            )


# Operators whose attribute "dtype" is the element type of what they give.
TAKES_DTYPE = {"Cast", "one_hot", "topk", "argsort", "_arange", "_zeros", "_ones", "_full"}


def _format(value: object) -> str:
    """A value as MXNet's parameter parser reads it."""
    if isinstance(value, tuple | list):
        return f"({', '.join(_format_item(item) for item in value)}{',' if len(value) == 1 else ''})"
    return repr(value) if isinstance(value, float) else str(value)


def _format_item(item: object) -> str:
    return str(item) if item is None else str(int(item))  # type: ignore[call-overload]


def _show(sizes: Sequence[Dim]) -> str:
    return ", ".join(map(str, sizes))


OPS: Registry[Value] = Registry("MXNet")
# Operators of ours, in graphs tuned for a CPU.
INTERNAL_OPS: Registry[Value] = Registry("MXNet")
