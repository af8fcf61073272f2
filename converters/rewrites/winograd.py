"""Compute convolutions in tiles (`tiling`) wherever that pays (`choose_tiling`), on NHWC tensors.

A tensor between two tiled convolutions stays NHWC: elementwise operators and norms compute the same on it, up to the
order of axes. Transposes are needed only where such a tensor comes from, or goes to, another operator. A reflecting Pad
in front of a tiled convolution becomes part of the convolution's indices.
"""

from __future__ import annotations

from typing import Any

from onnx import ModelProto, NodeProto

from converters.onnx_graph.builder import GraphBuilder, rebuild
from converters.onnx_graph.nodes import read_attributes
from converters.onnx_graph.traversal import read_names
from converters.rewrites.accurate_norm import DEFAULT_EPSILON
from converters.rewrites.choices import ConvolutionChoice
from converters.rewrites.choose_tiling import Choice, choose_tiling
from converters.rewrites.internal_ops import NORM, TILED, describe_convolution, make_internal_node
from converters.rewrites.read_convolution import OPERATORS, ConvolutionReader, FoundConvolution

# Elementwise operators that may compute on NHWC tensors.
UNARY = ("Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh")
BINARY = ("Add", "Sub", "Mul")


def rewrite_winograd(model: ModelProto) -> tuple[ModelProto, tuple[ConvolutionChoice, ...]]:
    """A copy of `model` with TiledConvolution and ChannelsLastNorm, and a record of each convolution.

    Free sizes stay free. If tiles pay for no convolution, the graph is `model` itself.
    """
    reader = ConvolutionReader(model)
    found: dict[str, tuple[FoundConvolution, Choice]] = {}
    choices = []
    for node in model.graph.node:
        if node.op_type not in OPERATORS:
            continue
        name, read = node.name or node.output[0], reader.read(node)
        if isinstance(read, str):
            choices.append(ConvolutionChoice(name, "as it is", read))
            continue
        choice = choose_tiling(read.convolution)
        chosen = "as it is" if choice.tiling is None else "tiles"
        choices.append(ConvolutionChoice(name, chosen, choice.reason, choice.before, choice.after))
        if choice.tiling is not None:
            found[node.output[0]] = (read, choice)
    if not found:
        return model, tuple(choices)
    return _Lowering(model, reader, found).run(), tuple(choices)


class _Lowering:
    """Walks the graph once. A tensor may exist as NCHW, as NHWC, or both."""

    def __init__(
        self, model: ModelProto, reader: ConvolutionReader, found: dict[str, tuple[FoundConvolution, Choice]]
    ) -> None:
        self._model = model
        self._reader = reader
        # The convolutions to compute in tiles, by the name of their output.
        self._found = found
        self._builder = GraphBuilder(model)
        # Tensor name to the name of the same tensor as NHWC.
        self._nhwc: dict[str, str] = {}
        # Names of the tensors that exist in the layout of the original graph.
        self._original = {value.name for value in model.graph.input} | {t.name for t in model.graph.initializer}

    def run(self) -> ModelProto:
        nodes = list(self._model.graph.node)
        outputs = [value.name for value in self._model.graph.output]
        read_elsewhere = {name for node in nodes if node.output[0] not in self._found for name in read_names(node)}
        absorbed_pads = {read.pad for read, _ in self._found.values()} - read_elsewhere - set(outputs)
        for node in nodes:
            if node.output[0] not in absorbed_pads:
                self._lower(node)
        for name in outputs:
            self._require_original(name)
        return rebuild(self._model, self._builder)

    def _lower(self, node: NodeProto) -> None:
        (result, *_) = node.output
        if result in self._found:
            self._nhwc[result] = self._lower_convolution(node)
        elif self._can_be_nhwc(node):
            self._nhwc[result] = self._lower_to_nhwc(node)
        else:
            for name in read_names(node):
                self._require_original(name)
            self._builder.nodes.append(node)
            self._original.update(node.output)

    def _can_be_nhwc(self, node: NodeProto) -> bool:
        """Whether the node can compute on NHWC tensors, and at least one of its inputs exists as NHWC."""
        constants = self._reader.constants
        if node.op_type in UNARY:
            return node.input[0] in self._nhwc
        if node.op_type == "InstanceNormalization":
            return node.input[0] in self._nhwc and all(name in constants for name in node.input[1:])
        if node.op_type in BINARY:
            is_nhwc = [name in self._nhwc for name in node.input]
            is_scalar = [name in constants and constants[name].size == 1 for name in node.input]
            return any(is_nhwc) and all(map(max, is_nhwc, is_scalar))
        return False

    def _lower_convolution(self, node: NodeProto) -> str:
        read, choice = self._found[node.output[0]]
        assert choice.tiling is not None
        inputs = [self._require_nhwc(read.source), *(name for name in node.input[1:] if name)]
        attributes = {**describe_convolution(read.convolution), "tile": choice.tiling.outputs}
        return self._add_internal(TILED, inputs, node, **attributes)

    def _lower_to_nhwc(self, node: NodeProto) -> str:
        attributes = read_attributes(node)
        if node.op_type == "InstanceNormalization":
            epsilon = attributes.get("epsilon", DEFAULT_EPSILON)
            return self._add_internal(NORM, [self._nhwc[node.input[0]], *node.input[1:]], node, epsilon=epsilon)
        inputs = [self._nhwc[name] if name in self._nhwc else self._scalar(name) for name in node.input]
        return self._builder.add(node.op_type, inputs, f"{node.output[0]}_channels_last", **attributes)

    def _add_internal(self, op: str, inputs: list[str], node: NodeProto, **attributes: Any) -> str:
        output = self._builder.unique_name(f"{node.output[0]}_channels_last")
        self._builder.nodes.append(make_internal_node(op, inputs, output, **attributes))
        return output

    def _scalar(self, name: str) -> str:
        return self._builder.constant(self._reader.constants[name].reshape(()), f"{name}_scalar")

    def _require_nhwc(self, name: str) -> str:
        """The name of a tensor as NHWC; add a Transpose if it does not exist as that."""
        if name not in self._nhwc:
            self._nhwc[name] = self._builder.add("Transpose", [name], f"{name}_channels_last", perm=[0, 2, 3, 1])
        return self._nhwc[name]

    def _require_original(self, name: str) -> None:
        """Add a Transpose to NCHW if a tensor exists only as NHWC."""
        if name in self._nhwc and name not in self._original:
            self._builder.define("Transpose", [self._nhwc[name]], name, perm=[0, 3, 1, 2])
            self._original.add(name)
