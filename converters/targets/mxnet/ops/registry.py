"""How one ONNX node becomes MXNet nodes: the registries of converter functions, and what a converter receives.

A converter is a function that translates one ONNX operator. `write` calls it with an `Emitter` and the node's inputs
as `Value`s; each call of the emitter adds one MXNet node to the symbol and returns its output as a `Value`. The
converter returns a `Value` for the node's output, or a list with one for each output.

ARCHITECTURE.md tells, step by step, how to add an operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from converters.errors import UnsupportedOpError
from converters.onnx_graph.op_registry import Registry, Translation
from converters.targets.mxnet.sizes import Dim, SymbolicDim
from converters.targets.mxnet.symbol import SymbolGraph
from converters.tensors import Array

# Element types of ONNX that can be translated, by numpy's names, and the MXNet type that holds each.
MXNET_DTYPES = {
    "float32": "float32",
    "float64": "float64",
    "float16": "float16",
    "uint8": "uint8",
    "int8": "int8",
    "int32": "int32",
    "int64": "int64",
    "bool": "uint8",  # 0 or 1: few MXNet operators take MXNet's own bool
}
FLOATS = ("float32", "float64", "float16")
# Remedies in error messages.
COMPUTES_WITH = f"MXNet computes with {', '.join(MXNET_DTYPES)} only"
WITH_SIZE = "Convert with --size HxW"


@dataclass(frozen=True)
class Value:
    """A tensor of the ONNX graph, or an intermediate tensor of a converter.

    Attributes:
        name: Its name in the ONNX graph, or that of the MXNet node.
        shape: Its shape in ONNX; None if the rank is unknown. MXNet holds a tensor of rank 0 with shape (1,).
        array: The elements of a constant; None for a tensor that the graph computes.
        node: Index of the MXNet node that computes the tensor; None for a constant.
        output: Which of that node's outputs the tensor is.
        dtype: Its element type in ONNX, by numpy's name; MXNET_DTYPES gives the one in MXNet.
        sizes: The elements, if they follow from the shapes of other tensors: an array of ints and `SymbolicDim`s
            (`size_vectors`). Else None.
        refusal: The error for a tensor that MXNet cannot compute, raised as soon as a node needs its elements. A node
            that needs only its shape can be translated all the same.
        given: Whether it is an input of the model.
    """

    name: str
    shape: tuple[Dim, ...] | None = None
    array: Array | None = None
    node: int | None = None
    output: int = 0
    dtype: str = "float32"
    sizes: Array | None = None
    refusal: UnsupportedOpError | None = None
    given: bool = False

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    @property
    def known_elements(self) -> Array | None:
        """The elements as far as the conversion knows them: a constant's numbers, or `sizes`."""
        return self.sizes if self.array is None else self.array


def constant_value(name: str, array: Array) -> Value:
    """A `Value` for a constant; it becomes an MXNet variable when a node first reads it."""
    return Value(name, array.shape, array, dtype=array.dtype.name)


@dataclass(frozen=True)
class Context:
    """State that all nodes of one symbol share.

    Attributes:
        graph: The symbol under construction.
        planes: For each (N, H, W, C) tensor, the first tensor of the same height and width (`read_planes`).
        params: Arrays of the constants that nodes read, by variable name.
        constants: Index of the variable of each constant in `params`, by the constant's name.
        shared: Results of `Emitter.memoize`, by key.
        axes: For each free size, a tensor and the axis of it that has this size.
        outputs: Names of the graph's outputs, which no constant's variable may take.
        assumptions: For each ONNX node that assumes a size, MXNet nodes that fail at run time if it is wrong. At least
            one of them must be part of the finished symbol.
    """

    graph: SymbolGraph
    planes: Mapping[str, str] = field(default_factory=dict)
    params: dict[str, Array] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)
    shared: dict[tuple[object, ...], Value] = field(default_factory=dict)
    axes: dict[SymbolicDim, tuple[Value, int]] = field(default_factory=dict)
    outputs: frozenset[str] = frozenset()
    assumptions: dict[str, list[int]] = field(default_factory=dict)


class Emitter(Translation):
    """Adds the MXNet nodes of one ONNX node to the symbol.

    Args:
        where: The ONNX node, for messages.
        outputs: Names of the ONNX node's outputs, "" for one left out; MXNet nodes are named after the first.
        context: State that all nodes of one symbol share.
    """

    def __init__(self, where: str, outputs: Sequence[str], context: Context) -> None:
        super().__init__(where)
        self.outputs = outputs
        self.output = next(name for name in outputs if name)
        self._context = context

    def __call__(self, op: str, *inputs: Value, suffix: str = "", dtype: str | None = None, **attrs: object) -> Value:
        """Add one MXNet node and return its output, whose shape is not set.

        Args:
            op: MXNet's operator.
            inputs: The node's inputs.
            suffix: The node's name is the ONNX output's name, "_" and this suffix; the operator's name if left out.
                `write` later renames the node that computes the ONNX output to that output's name.
            dtype: Element type of the output; the first input's if left out. Operators in TAKES_DTYPE also get it as
                their attribute `dtype`.
            attrs: The node's attributes.
        """
        return self.emit_many(op, 1, *inputs, suffix=suffix, dtype=dtype, **attrs)[0]

    def emit_many(
        self, op: str, outputs: int, *inputs: Value, suffix: str = "", dtype: str | None = None, **attrs: object
    ) -> list[Value]:
        """Add one MXNet node and return its outputs, `outputs` in number; other arguments as of `__call__`."""
        entries = [self._entry_of(value) for value in inputs]
        name = self._context.graph.make_name(f"{self.output}_{suffix or op.strip('_').lower()}")
        if dtype is not None and op in TAKES_DTYPE:
            attrs["dtype"] = self.require_dtype(dtype)
        text = {key: _format(value) for key, value in attrs.items()}
        node = self._context.graph.add(op, name, text, entries, outputs)
        kind = dtype or (inputs[0].dtype if inputs else "float32")
        return [Value(name, node=node, output=output, dtype=kind) for output in range(outputs)]

    def constant(self, suffix: str, array: Array) -> Value:
        """A new constant, named after the ONNX output."""
        return constant_value(self._context.graph.make_name(f"{self.output}_{suffix}"), array)

    def cast(self, x: Value, dtype: str, suffix: str = "cast") -> Value:
        """x with element type `dtype`. No node is added if MXNet holds both types alike.

        Args:
            dtype: Element type of ONNX. For bool, the elements of x must be 0 or 1.
        """
        if x.array is not None:
            return x if x.dtype == dtype else self.constant(suffix, x.array.astype(dtype))
        if MXNET_DTYPES.get(x.dtype) == self.require_dtype(dtype):
            return replace(x, dtype=dtype)
        return replace(self("Cast", x, suffix=suffix, dtype=dtype), shape=x.shape)

    def reshape(self, x: Value, shape: Sequence[int], suffix: str = "reshaped") -> Value:
        """Add MXNet's Reshape.

        Args:
            shape: Sizes, or MXNet's special numbers: 0 copies an axis, -1 is inferred, -2 copies all remaining axes, -3
                merges two axes, -4 splits one into the two sizes after it.
        """
        return self("Reshape", x, suffix=suffix, shape=tuple(shape))

    def plane_of(self, x: Value) -> str:
        """A name that stands for the height and width of x: (N, H, W, C). Tensors of one name have equal ones."""
        return self._context.planes[x.name]

    def memoize(self, key: tuple[object, ...], make: Callable[[], Value]) -> Value:
        """The result of `make()`, which is called only the first time that the symbol needs `key`."""
        if key not in self._context.shared:
            self._context.shared[key] = make()
        return self._context.shared[key]

    def assume_shape(self, value: Value) -> None:
        """Note that `value.shape` is assumed, and that MXNet fails to compute the value if the assumption is wrong."""
        if value.node is not None:
            self._context.assumptions.setdefault(self.where, []).append(value.node)

    def axis_of(self, size: SymbolicDim) -> tuple[Value, int] | None:
        """A tensor and the axis of it that has this free size; None if no tensor has one."""
        return self._context.axes.get(size)

    def multiple_of(self, size: SymbolicDim) -> tuple[SymbolicDim, int] | None:
        """Another free size that some axis has and that is a multiple of `size`, and how many times as large it is.

        Args:
            size: One product of named sizes, not a sum.
        """
        ((symbols, factor),) = size.terms
        for other in self._context.axes:
            if len(other.terms) == 1 and other.terms[0][0] == symbols:
                times = other.terms[0][1] / factor
                if times.denominator == 1 and times > 1:
                    return other, times.numerator
        return None

    def require_shape(self, value: Value) -> tuple[Dim, ...]:
        """The shape of an input; its sizes may be free.

        Raises:
            UnsupportedOpError: the rank is unknown.
        """
        self.require_rank(value)
        assert value.shape is not None
        return value.shape

    def require_fixed_shape(self, value: Value) -> tuple[int, ...]:
        """The shape of an input, in plain numbers.

        Raises:
            UnsupportedOpError: the rank is unknown, or a size is free.
        """
        shape = self.require_shape(value)
        fixed = tuple(size for size in shape if isinstance(size, int))
        if len(fixed) != len(shape):
            raise self.refuse(f"the shape ({_show(shape)}) of its input '{value.name}' is not fixed", WITH_SIZE)
        return fixed

    def require_fixed_size(self, value: Value, axis: int) -> int:
        """The size of one axis of an input, as a plain number.

        Raises:
            UnsupportedOpError: the rank is unknown, or the size is free.
        """
        size = self.require_shape(value)[axis]
        if isinstance(size, SymbolicDim):
            raise self.refuse(f"axis {axis} of its input '{value.name}' has the free size {size}", WITH_SIZE)
        return size

    def require_fixed(self, size: Dim) -> int:
        """`size` as a plain number, for an attribute of an MXNet node.

        Raises:
            UnsupportedOpError: the size is free.
        """
        if isinstance(size, SymbolicDim):
            raise self.refuse_sizes("size", [size])
        return size

    def require_ints(self, value: Value, role: str) -> list[int]:
        """The elements of a constant input as a flat list.

        Raises:
            UnsupportedOpError: the input is computed in the graph.
        """
        return [int(number) for number in self.require_array(value, role).flat]

    def require_sizes(self, value: Value, role: str) -> list[Dim]:
        """The elements of an input that is constant or follows from shapes, as a flat list.

        Raises:
            UnsupportedOpError: the input is computed from elements of other tensors.
        """
        if value.array is None and value.sizes is not None:
            return list(value.sizes.flat)
        return list(self.require_ints(value, role))

    def refuse_sizes(self, role: str, sizes: Sequence[Dim]) -> UnsupportedOpError:
        """The error for free sizes that an MXNet node would need as plain numbers."""
        return self.refuse(f"MXNet cannot be told its {role} ({_show(sizes)})", WITH_SIZE)

    def require_dtype(self, dtype: str) -> str:
        """The MXNet element type that holds ONNX's `dtype`.

        Raises:
            UnsupportedOpError: there is none.
        """
        if dtype not in MXNET_DTYPES:
            raise self.refuse(f"it makes {dtype}", COMPUTES_WITH)
        return MXNET_DTYPES[dtype]

    def require_tensor(self, value: Value) -> None:
        """Check that an MXNet node can read a value.

        Raises:
            UnsupportedOpError: MXNet lacks its element type, it is empty, or it cannot be computed (`Value.refusal`).
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

    def _entry_of(self, value: Value) -> tuple[int, int]:
        """The value as a node's input: index of the node that computes it, and which of that node's outputs it is.

        The first call for a constant adds a variable and puts the array into the params.
        """
        self.require_tensor(value)
        if value.node is not None:
            return value.node, value.output
        array = value.array
        assert array is not None
        if value.name not in self._context.constants:
            name = value.name
            if name in self._context.outputs or self._context.graph.has_node(name):
                name = self._context.graph.make_name(f"{name}_constant")
            param = np.atleast_1d(array).astype(MXNET_DTYPES[array.dtype.name])
            self._context.params[name] = param
            self._context.constants[value.name] = self._context.graph.variable(name, param.shape)
        return self._context.constants[value.name], 0


# MXNet operators whose attribute "dtype" is the element type of their output.
TAKES_DTYPE = {"Cast", "one_hot", "topk", "argsort", "_arange", "_zeros", "_ones", "_full"}


def _format(value: object) -> str:
    """An attribute as text for MXNet's parameter parser."""
    if isinstance(value, tuple | list):
        return f"({', '.join(_format_item(item) for item in value)}{',' if len(value) == 1 else ''})"
    return repr(value) if isinstance(value, float) else str(value)


def _format_item(item: object) -> str:
    return str(item) if item is None else str(int(item))  # type: ignore[call-overload]


def _show(sizes: Sequence[Dim]) -> str:
    return ", ".join(map(str, sizes))


# Converters of ONNX's operators.
OPS: Registry[Value] = Registry("MXNet")
# Converters of the internal operators (`rewrites.internal_ops`), which occur in graphs tuned for a CPU.
INTERNAL_OPS: Registry[Value] = Registry("MXNet")
