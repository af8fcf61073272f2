"""Writes an ONNX graph as an MXNet symbol and its params. MXNet itself is not needed.

Each ONNX node takes the first of these ways that is open to it:

1. All inputs are constants: onnx's reference computes the outputs now, as constants (`constant_folding`).
2. The output follows from the shapes of tensors, as that of Shape does: it is computed now, in numbers or in named free
   sizes (`size_vectors`). If a free size remains, MXNet nodes are added too, because a node may read the elements.
3. A converter in `ops` translates the operator into MXNet nodes.
4. An If with a constant condition: the nodes of the chosen branch are translated in its place.
5. ONNX defines the operator by other operators: these are translated in its place (`function_bodies`).

Nothing else is translated: `UnsupportedOpError`. How to add an operator is described in `ops.registry`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from converters.errors import UnsupportedOpError
from converters.onnx_graph.nodes import OnnxNode, read_node, require_opset
from converters.onnx_graph.shapes import TensorType, describe_type, read_types
from converters.onnx_graph.traversal import read_names, tensor_names
from converters.rewrites.internal_ops import declare_ranks
from converters.rewrites.planes import read_planes
from converters.targets.mxnet.constant_folding import evaluate, is_foldable
from converters.targets.mxnet.function_bodies import expand_branch, expand_function, inline_local_functions
from converters.targets.mxnet.ops import INTERNAL_OPS, OPS, Context, Emitter, Value, constant_value
from converters.targets.mxnet.ops.registry import MXNET_DTYPES, WITH_SIZE
from converters.targets.mxnet.size_vectors import infer_sizes, size_vector, to_constant
from converters.targets.mxnet.sizes import (
    Dim,
    SymbolicDim,
    add_meaning,
    list_names,
    multiply,
    name_size,
    solve,
    substitute,
)
from converters.targets.mxnet.symbol import SymbolGraph, serialize_params
from converters.tensors import Array

# The converters were compared with ONNX's definitions up to this opset. A later one may change what an operator does.
NEWEST_MXNET_OPSET = 28
# Operators whose output holds sizes of their input, and the attributes that `_measure` can take.
SIZE_OPS = {"Shape": {"start", "end"}, "Size": set[str]()}


@dataclass(frozen=True)
class MxnetFiles:
    """Contents of the files NAME-symbol.json and NAME-0000.params."""

    symbol_json: str
    params: bytes


def convert_to_mxnet(model: ModelProto) -> MxnetFiles:
    """Translate a graph into a symbol.

    The symbol's inputs have the graph's names. Feed them by name: MXNet lists arguments in the order of first use.
    Its outputs are in the graph's order; MXNet appends "_output" to their names. MXNet lacks bool and rank 0: a bool
    tensor is uint8, 0 or 1, and a tensor of rank 0 has shape (1,).

    Args:
        model: Graph of opset 28 or earlier. It may have internal operators (`rewrites.internal_ops`) and free sizes.

    Raises:
        UnsupportedOpError: a node cannot be translated; the error names the node and the reason.
    """
    opset = require_opset(model, NEWEST_MXNET_OPSET)
    model = inline_local_functions(model)
    writer = _Writer(model, opset)
    for given in model.graph.input:
        writer.add_input(given)
    for node in writer.drop_unneeded(model.graph.node):
        writer.add_node(read_node(node))
    return writer.finish()


class _Writer:
    """Builds one symbol: add all inputs, then all nodes in order, then call `finish`."""

    def __init__(self, model: ModelProto, opset: int) -> None:
        self._model = model
        self._opset = opset
        self._types = read_types(declare_ranks(model))
        # Names of free sizes in the shapes of the graph's inputs.
        self._input_size_names: set[str] = set()
        # Other names of free sizes, and the size that each was found to equal.
        self._aliases: dict[str, Dim] = {}
        # Free sizes of function inputs, by the text that stands for each in the function's shapes.
        self._sizes_by_text: dict[str, Dim] = {}
        # Names of the tensors that outputs depend on, as far as `drop_unneeded` has seen nodes.
        self._needed = {output.name for output in model.graph.output}
        self._context = Context(
            SymbolGraph(tensor_names(model.graph)),
            read_planes(model),
            outputs=frozenset(output.name for output in model.graph.output),
        )
        self._values: dict[str, Value] = {
            tensor.name: constant_value(tensor.name, numpy_helper.to_array(tensor))
            for tensor in model.graph.initializer
        }

    def drop_unneeded(self, nodes: Sequence[NodeProto]) -> list[NodeProto]:
        """The nodes on which the graph's outputs depend, in the same order."""
        kept = []
        for node in reversed(nodes):
            if self._needed.intersection(node.output):
                kept.append(node)
                self._needed.update(read_names(node))
        return kept[::-1]

    def add_input(self, given: onnx.ValueInfoProto) -> None:
        """Add a graph input as a variable. An input with a default value (an initializer) stays a constant."""
        if given.name in self._values:
            return
        kind = self._types.get(given.name)
        dtype = describe_type(given.type) if kind is None else kind.dtype
        shape = self._resolve_shape(given.name, kind)
        node = self._context.graph.variable(given.name)
        where, refusal = f"input '{given.name}'", None
        if dtype not in MXNET_DTYPES:
            remedy = f"Only {', '.join(MXNET_DTYPES)} are translated"
            refusal = UnsupportedOpError(where, f"it is {dtype}", remedy)
        elif shape is not None and 0 in shape:
            refusal = UnsupportedOpError(where, f"its shape is {shape}", "MXNet has no empty tensors")
        self._input_size_names.update(name for size in shape or () for name in list_names(size))
        self._remember(Value(given.name, shape, node=node, dtype=dtype, refusal=refusal, given=True))

    def add_node(self, node: OnnxNode) -> None:
        """Compute or translate a node, the first way of the module's docstring that applies.

        Raises:
            UnsupportedOpError: none applies.
        """
        inputs = [self._values[name] if name else None for name in node.inputs]
        if self._fold(node, inputs):
            return
        sizes = self._infer_sizes(node, inputs)
        constant = None if sizes is None else to_constant(sizes)
        if constant is not None:
            dtype = self._types[node.outputs[0]].dtype if node.outputs[0] in self._types else constant.dtype.name
            self._values[node.outputs[0]] = constant_value(node.outputs[0], constant.astype(dtype))
            return
        has_converter = node.is_internal or OPS.knows(node.op)
        if not has_converter and (self._choose_branch(node, inputs) or self._expand_function(node, inputs)):
            return
        emit = Emitter(node.where, node.outputs, self._context)
        try:
            registry = INTERNAL_OPS if node.is_internal else OPS
            results = registry.convert_all(emit, node.op, self._opset, inputs, node.attributes)
        except UnsupportedOpError as error:
            if sizes is None:
                raise
            results = [Value(node.outputs[0], refusal=error)]  # enough if other nodes read only its `sizes`
        for index, name in enumerate(node.outputs):
            if name:
                missing = emit.refuse(f"its output '{name}' has no translation", "Export without it")
                result = results[index] if index < len(results) else Value(name, refusal=missing)
                self._add_output(name, result, sizes)

    def finish(self) -> MxnetFiles:
        """Drop the MXNet nodes that no output depends on and write the files.

        Raises:
            UnsupportedOpError: an output cannot be computed; or a size was assumed, and all MXNet nodes that would
                fail if it were wrong have been dropped (`Context.assumptions`).
        """
        heads = [self._head(output.name) for output in self._model.graph.output]
        full = self._context.graph
        graph, heads = full.prune(heads)
        for where, nodes in self._context.assumptions.items():
            if not any(graph.has_node(full.node(node).name) for node in nodes):
                met = "nothing but its size is asked for, which MXNet cannot be told"
                raise UnsupportedOpError(where, met, WITH_SIZE)
        kept = set(graph.variables())
        params = {name: array for name, array in self._context.params.items() if name in kept}
        return MxnetFiles(graph.to_json(heads), serialize_params(params))

    def _fold(self, node: OnnxNode, inputs: Sequence[Value | None]) -> bool:
        """Compute the node if all its inputs are constants; returns whether that was possible."""
        if not is_foldable(node.proto) or any(value is not None and value.array is None for value in inputs):
            return False
        arrays = evaluate(self._model, node.proto, [None if value is None else value.array for value in inputs])
        if arrays is None:
            return False
        for name, array in zip(node.outputs, arrays, strict=True):
            if name:
                self._values[name] = constant_value(name, array)
        return True

    def _expand_function(self, node: OnnxNode, inputs: Sequence[Value | None]) -> bool:
        """Add the nodes by which ONNX defines this operator; returns whether it has such a definition."""
        values = {value.name: value for value in inputs if value is not None}
        constants = {name: value.array for name, value in values.items() if value.array is not None}
        body = expand_function(self._model, node.proto, [self._declare(value) for value in values.values()], constants)
        if body is None:
            return False
        nodes, types = body
        self._types = {**types, **self._types}
        self._add_inner_nodes(node, nodes)
        return True

    def _choose_branch(self, node: OnnxNode, inputs: Sequence[Value | None]) -> bool:
        """Add the nodes of the chosen branch of an If; returns whether the condition is a constant."""
        if node.op != "If" or inputs[0] is None or inputs[0].array is None:
            return False
        branch = node.attributes["then_branch" if inputs[0].array.any() else "else_branch"]
        defined = {name for inner in branch.node for name in inner.output}
        defined |= {tensor.name for tensor in branch.initializer}
        taken = sorted(defined.intersection(self._values) - {""})
        if taken:
            raise UnsupportedOpError(
                node.where, f"its branch has a tensor '{taken[0]}' and so has the graph", "Give it another name"
            )
        outer = {name for inner in branch.node for name in read_names(inner)}.intersection(self._values)
        values = {name: self._values[name] for name in sorted(outer)}
        constants = {name: value.array for name, value in values.items() if value.array is not None}
        declared = [self._declare(value) for value in values.values() if value.dtype in MXNET_DTYPES]
        self._types = {**expand_branch(self._model, branch, declared, constants), **self._types}
        for tensor in branch.initializer:
            self._values[tensor.name] = constant_value(tensor.name, numpy_helper.to_array(tensor))
        self._needed.update(output.name for output in branch.output)
        self._add_inner_nodes(node, branch.node)
        for name, output in zip(node.outputs, branch.output, strict=True):
            self._add_output(name, self._values[output.name], self._values[output.name].sizes)
        return True

    def _add_inner_nodes(self, node: OnnxNode, nodes: Sequence[NodeProto]) -> None:
        """Add the nodes that stand for `node`. Messages name `node` too: users know only the nodes of their model."""
        for inner in self.drop_unneeded(nodes):
            self.add_node(replace(read_node(inner), where=f"{node.where}, its {inner.op_type}"))

    def _declare(self, value: Value) -> onnx.ValueInfoProto:
        """A value's name, element type and shape, to declare it as an input of another ONNX graph.

        Raises:
            UnsupportedOpError: the value cannot be computed, and MXNet lacks its element type.
        """
        if value.dtype not in MXNET_DTYPES and value.refusal is not None:
            raise value.refusal
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype))
        sizes = value.shape or ()
        self._sizes_by_text.update({str(size): size for size in sizes if isinstance(size, SymbolicDim)})
        shape = None if value.shape is None else [size if isinstance(size, int) else str(size) for size in sizes]
        return helper.make_tensor_value_info(value.name, kind, shape)

    def _infer_sizes(self, node: OnnxNode, inputs: Sequence[Value | None]) -> Array | None:
        """The elements of the node's output as ints and free sizes; None if they do not follow from shapes."""
        if node.op in SIZE_OPS and len(inputs) == 1 and inputs[0] is not None and inputs[0].shape is not None:
            known_attributes = node.attributes.keys() <= SIZE_OPS[node.op]
            return _measure(node.op, inputs[0].shape, node.attributes) if known_attributes else None
        known = [None if value is None else value.known_elements for value in inputs]
        if any(value is not None and array is None for value, array in zip(inputs, known, strict=True)):
            return None
        return infer_sizes(node.op, known, node.attributes)

    def _add_output(self, name: str, result: Value, sizes: Array | None) -> None:
        """Record a converter's result as the tensor `name` of the ONNX graph, and give its MXNet node that name.

        A size that the converter knows replaces the name that shape inference made up for it.
        """
        kind = self._types.get(name)
        dtype = result.dtype if kind is None else kind.dtype
        shape = self._resolve_shape(name, kind)
        if result.shape is not None:
            for old, new in zip(shape or (), result.shape, strict=False):
                solved = solve(old, new)
                if solved is not None and solved[0] not in self._input_size_names:
                    add_meaning(self._aliases, *solved)
            shape = result.shape
        if result.array is None and result.refusal is None:
            assert result.node is not None
            graph = self._context.graph
            node = graph.node(result.node)
            if node.op != "null" and node.outputs == 1 and self._is_unshared(result) and not graph.has_node(name):
                graph.rename(result.node, name)
        self._remember(replace(result, name=name, shape=shape, dtype=dtype, sizes=sizes, given=False))

    def _is_unshared(self, result: Value) -> bool:
        """Whether no tensor recorded so far is computed by the same MXNet node."""
        return all(value.node != result.node for value in self._values.values())

    def _remember(self, value: Value) -> None:
        """Record a tensor, and where its free sizes can be found at run time."""
        self._values[value.name] = value
        for axis, size in enumerate(value.shape or ()):
            if isinstance(size, SymbolicDim) and value.node is not None:
                self._context.axes.setdefault(size, (value, axis))

    def _resolve_shape(self, name: str, kind: TensorType | None) -> tuple[Dim, ...] | None:
        """The shape by shape inference, None if the rank is unknown; a size without a name gets one ("name[axis]")."""
        if kind is None or kind.shape is None:
            return None
        sizes = []
        for axis, size in enumerate(kind.shape):
            text = str(size or f"{name}[{axis}]")
            sizes.append(size if isinstance(size, int) else self._sizes_by_text.get(text, name_size(text)))
        return tuple(substitute(size, self._aliases) for size in sizes)

    def _head(self, name: str) -> int:
        """Index of the MXNet node that computes a graph output and has its name; a copy is added where none has.

        Raises:
            UnsupportedOpError: the output cannot be computed, or is an input of the graph too.
        """
        value = self._values.get(name)
        emit = Emitter(f"output '{name}'", [name], self._context)
        if value is None:
            raise emit.refuse("no node gives it", "Check the model")
        emit.require_tensor(value)
        graph = self._context.graph
        if value.node is not None and value.output == 0 and graph.node(value.node).name == name:
            node = graph.node(value.node)
            if node.op != "null" and node.outputs == 1:
                return value.node
            raise emit.refuse("it is an input too", "Check the model")
        copy = emit("_copy", value)
        assert copy.node is not None
        graph.rename(copy.node, name)
        return copy.node


def _measure(op: str, shape: tuple[Dim, ...], attributes: Mapping[str, Any]) -> Array:
    """The output of Shape or Size for a tensor of this shape."""
    if op == "Shape":
        return size_vector(shape[attributes.get("start", 0) : attributes.get("end", len(shape))])
    return size_vector([multiply(shape)]).reshape(())
