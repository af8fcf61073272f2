"""From the waist to an MXNet symbol and its params; MXNet itself is not needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from converters.errors import UnsupportedOpError
from converters.onnx_graph.nodes import OnnxNode, read_inputs, read_names, read_node, read_opset
from converters.onnx_graph.shapes import TensorType, describe_type, read_types
from converters.rewrites.internal_ops import declare_ranks
from converters.rewrites.planes import read_planes
from converters.targets.mxnet.constant_folding import evaluate, is_foldable
from converters.targets.mxnet.function_bodies import expand_branch, expand_function, inline_local_functions
from converters.targets.mxnet.ops import INTERNAL_OPS, OPS, Context, Emitter, Value, constant_value
from converters.targets.mxnet.ops.registry import MXNET_DTYPES, WITH_SIZE
from converters.targets.mxnet.size_vectors import infer_sizes, size_vector, to_constant
from converters.targets.mxnet.sizes import Dim, SymbolicDim, list_names, name_size, solve, substitute
from converters.targets.mxnet.symbol import SymbolGraph, serialize_params
from converters.tensors import Array

# MXNet's functions have been held to ONNX's operators up to this opset; a later one may change what a node means.
NEWEST_MXNET_OPSET = 28
# Operators that give sizes, and the attributes that they may have.
MEASURES = {"Shape": {"start", "end"}, "SymbolicDim": set[str]()}


@dataclass(frozen=True)
class MxnetFiles:
    """Contents of NAME-symbol.json and NAME-0000.params."""

    symbol_json: str
    params: bytes


def convert_to_mxnet(model: ModelProto) -> MxnetFiles:
    """Translate every node; inputs and, with "_output" appended, outputs keep their names.

    Outputs keep their order. Inputs must be given by name: MXNet lists arguments in the order of their use. What
    MXNet has not: bool is uint8 there, 0 or 1; a tensor of rank 0 is of shape (1,).

    Args:
        model: Graph of opset 28 or earlier, operators of ours (`rewrites.internal_ops`) too; sizes may be free.

    Raises:
        UnsupportedOpError: a node has no translation; it is named, with the reason.
    """
    opset = read_opset(model, NEWEST_MXNET_OPSET)
    model = inline_local_functions(model)
    writer = _Writer(model, opset)
    for given in model.graph.input:
        writer.add_input(given)
    for node in writer.needed(model.graph.node):
        writer.add_node(read_node(node))
    return writer.finish()


class _Writer:
    """A symbol on its way."""

    def __init__(self, model: ModelProto, opset: int) -> None:
        self._model = model
        self._opset = opset
        self._types = read_types(declare_ranks(model))
        # What the names of sizes mean, but for those that inputs give.
        self._aliases: dict[str, Dim] = {}
        self._given: set[str] = set()
        # Sizes that functions were told of, by what they were called there.
        self._spelled: dict[str, Dim] = {}
        self._wanted = {output.name for output in model.graph.output}
        self._context = Context(
            SymbolGraph(read_names(model)),
            read_planes(model),
            outputs=frozenset(output.name for output in model.graph.output),
        )
        self._values: dict[str, Value] = {
            tensor.name: constant_value(tensor.name, numpy_helper.to_array(tensor))
            for tensor in model.graph.initializer
        }

    def needed(self, nodes: Sequence[NodeProto]) -> list[NodeProto]:
        """Those that the symbol needs."""
        kept = []
        for node in reversed(nodes):
            if self._wanted.intersection(node.output):
                kept.append(node)
                self._wanted.update(read_inputs(node))
        return kept[::-1]

    def add_input(self, given: onnx.ValueInfoProto) -> None:
        """A graph input, unless it is a constant by default."""
        if given.name in self._values:
            return
        kind = self._types.get(given.name)
        dtype = describe_type(given.type) if kind is None else kind.dtype
        shape = self._shape(given.name, kind)
        node = self._context.graph.variable(given.name)
        where, refusal = f"input '{given.name}'", None
        if dtype not in MXNET_DTYPES:
            remedy = f"Only {', '.join(MXNET_DTYPES)} are translated"
            refusal = UnsupportedOpError(where, f"it is {dtype}", remedy)
        elif shape is not None and 0 in shape:
            refusal = UnsupportedOpError(where, f"its shape is {shape}", "MXNet has no empty tensors")
        self._given.update(name for size in shape or () for name in list_names(size))
        self._remember(Value(given.name, shape, node=node, dtype=dtype, refusal=refusal))

    def add_node(self, node: OnnxNode) -> None:
        """A node: computed now if its inputs are constants, else translated."""
        inputs = [self._values[name] if name else None for name in node.inputs]
        if self._fold(node, inputs):
            return
        sizes = self._infer_sizes(node, inputs)
        constant = None if sizes is None else to_constant(sizes)
        if constant is not None:
            dtype = self._types[node.outputs[0]].dtype if node.outputs[0] in self._types else constant.dtype.name
            self._values[node.outputs[0]] = constant_value(node.outputs[0], constant.astype(dtype))
            return
        if not node.own and not OPS.knows(node.op) and (self._choose(node, inputs) or self._expand(node, inputs)):
            return
        emit = Emitter(node.where, node.outputs, self._context)
        try:
            registry = INTERNAL_OPS if node.own else OPS
            results = registry.convert_all(emit, node.op, self._opset, inputs, node.attributes)
        except UnsupportedOpError as error:
            if sizes is None:
                raise
            results = [Value(node.outputs[0], refusal=error)]  # its value may be all that is asked for
        for index, name in enumerate(node.outputs):
            if name:
                missing = emit.refuse(f"its output '{name}' has no translation", "Export without it")
                result = results[index] if index < len(results) else Value(name, refusal=missing)
                self._add_output(name, result, sizes)

    def finish(self) -> MxnetFiles:
        """The files.

        Raises:
            UnsupportedOpError: a size that the graph depends on cannot be told to MXNet.
        """
        heads = [self._head(output.name) for output in self._model.graph.output]
        full = self._context.graph
        graph, heads = full.prune(heads)
        for where, nodes in self._context.checks.items():
            if not any(graph.has_node(full.node(node).name) for node in nodes):
                met = "nothing but its size is asked for, which MXNet cannot be told"
                raise UnsupportedOpError(where, met, WITH_SIZE)
        kept = set(graph.variables())
        params = {name: array for name, array in self._context.params.items() if name in kept}
        return MxnetFiles(graph.to_json(heads), serialize_params(params))

    def _fold(self, node: OnnxNode, inputs: Sequence[Value | None]) -> bool:
        """Compute the node if it can be done now."""
        if not is_foldable(node.proto) or any(value is not None and value.array is None for value in inputs):
            return False
        arrays = evaluate(self._model, node.proto, [None if value is None else value.array for value in inputs])
        if arrays is None:
            return False
        for name, array in zip(node.outputs, arrays, strict=True):
            if name:
                self._values[name] = constant_value(name, array)
        return True

    def _expand(self, node: OnnxNode, inputs: Sequence[Value | None]) -> bool:
        """Add the nodes that ONNX defines this one by, if it does."""
        values = {value.name: value for value in inputs if value is not None}
        constants = {name: value.array for name, value in values.items() if value.array is not None}
        body = expand_function(self._model, node.proto, [self._declare(value) for value in values.values()], constants)
        if body is None:
            return False
        nodes, types = body
        self._types = {**types, **self._types}
        for inner in self.needed(nodes):
            # Its user knows nothing of the nodes within.
            self.add_node(replace(read_node(inner), where=f"{node.where}, its {inner.op_type}"))
        return True

    def _choose(self, node: OnnxNode, inputs: Sequence[Value | None]) -> bool:
        """Add the nodes of one branch of an If, if its condition is known."""
        if node.op != "If" or inputs[0] is None or inputs[0].array is None:
            return False
        branch = node.attributes["then_branch" if inputs[0].array.any() else "else_branch"]
        own = {name for inner in branch.node for name in inner.output} | {tensor.name for tensor in branch.initializer}
        taken = sorted(own.intersection(self._values) - {""})
        if taken:
            raise UnsupportedOpError(
                node.where, f"its branch has a tensor '{taken[0]}' and so has the graph", "Give it another name"
            )
        outer = {name for inner in branch.node for name in read_inputs(inner)}.intersection(self._values)
        values = {name: self._values[name] for name in sorted(outer)}
        constants = {name: value.array for name, value in values.items() if value.array is not None}
        declared = [self._declare(value) for value in values.values() if value.dtype in MXNET_DTYPES]
        self._types = {**expand_branch(self._model, branch, declared, constants), **self._types}
        for tensor in branch.initializer:
            self._values[tensor.name] = constant_value(tensor.name, numpy_helper.to_array(tensor))
        self._wanted.update(output.name for output in branch.output)
        for inner in self.needed(branch.node):
            self.add_node(replace(read_node(inner), where=f"{node.where}, its {inner.op_type}"))
        for name, output in zip(node.outputs, branch.output, strict=True):
            self._add_output(name, self._values[output.name], self._values[output.name].sizes)
        return True

    def _declare(self, value: Value) -> onnx.ValueInfoProto:
        """A value as a graph input of ONNX."""
        if value.dtype not in MXNET_DTYPES and value.refusal is not None:
            raise value.refusal
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype))
        sizes = value.shape or ()
        self._spelled.update({str(size): size for size in sizes if isinstance(size, SymbolicDim)})
        shape = None if value.shape is None else [size if isinstance(size, int) else str(size) for size in sizes]
        return helper.make_tensor_value_info(value.name, kind, shape)

    def _infer_sizes(self, node: OnnxNode, inputs: Sequence[Value | None]) -> Array | None:
        """The node's output as sizes, if it follows from shapes."""
        if node.op in MEASURES and len(inputs) == 1 and inputs[0] is not None and inputs[0].shape is not None:
            known_attributes = node.attributes.keys() <= MEASURES[node.op]
            return _measure(node.op, inputs[0].shape, node.attributes) if known_attributes else None
        known = [None if value is None else value.known for value in inputs]
        if any(value is not None and array is None for value, array in zip(inputs, known, strict=True)):
            return None
        return infer_sizes(node.op, known, node.attributes)

    def _add_output(self, name: str, result: Value, sizes: Array | None) -> None:
        """What a function gave for an output."""
        kind = self._types.get(name)
        dtype = result.dtype if kind is None else kind.dtype
        shape = self._shape(name, kind)
        if result.shape is not None:
            for old, new in zip(shape or (), result.shape, strict=False):
                solved = solve(old, new)
                if solved is not None and solved[0] not in self._given | list_names(solved[1]):
                    self._aliases[solved[0]] = solved[1]
            shape = result.shape
        if result.array is None and result.refusal is None:
            assert result.node is not None
            graph = self._context.graph
            node = graph.node(result.node)
            if node.op != "null" and node.outputs == 1 and self._is_own(result) and not graph.has_node(name):
                graph.rename(result.node, name)
        self._remember(replace(result, name=name, shape=shape, dtype=dtype, sizes=sizes))

    def _is_own(self, result: Value) -> bool:
        """Whether a node was made for this output: not if it gives another tensor already."""
        return all(value.node != result.node for value in self._values.values())

    def _remember(self, value: Value) -> None:
        self._values[value.name] = value
        for axis, size in enumerate(value.shape or ()):
            if isinstance(size, SymbolicDim) and value.node is not None:
                self._context.axes.setdefault(size, (value, axis))

    def _shape(self, name: str, kind: TensorType | None) -> tuple[Dim, ...] | None:
        """A tensor's shape; a size that inference has no name for gets one."""
        if kind is None or kind.shape is None:
            return None
        sizes = []
        for axis, size in enumerate(kind.shape):
            called = size or f"{name}[{axis}]"
            sizes.append(size if isinstance(size, int) else self._spelled.get(str(called), name_size(str(called))))
        return tuple(substitute(size, self._aliases) for size in sizes)

    def _head(self, name: str) -> int:
        """The node that gives a graph output under its name."""
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
    if op == "Shape":
        return size_vector(shape[attributes.get("start", 0) : attributes.get("end", len(shape))])
    total: Dim = 1
    for size in shape:
        total = total * size
    scalar = size_vector([total])
    return scalar.reshape(())
