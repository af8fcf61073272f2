"""Convolutions in tiles (`tiling`) wherever that pays (`choose_tiling`), with channels last around them.

Between two of them a tensor is kept as (N, H, W, C): elementwise operators, sums and norms are the same there up to the
order of axes, so that a Transpose is left only where a tensor comes from or goes to something else. A reflection in
front of a tiled convolution becomes part of its indices.
"""

from __future__ import annotations

from typing import Any

from onnx import ModelProto, NodeProto, helper

from converters.onnx_graph.builder import GraphBuilder, names_read, rebuild, tensor_names
from converters.rewrites.choices import ConvolutionChoice
from converters.rewrites.choose_tiling import Choice, choose_tiling
from converters.rewrites.internal_ops import NORM, TILED, describe_convolution, make_internal_node
from converters.rewrites.read_convolution import OPERATORS, ConvolutionReader, FoundConvolution

UNARY = ("Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh")
BINARY = ("Add", "Sub", "Mul")


def rewrite_winograd(model: ModelProto) -> tuple[ModelProto, tuple[ConvolutionChoice, ...]]:
    """A copy of `model` with TiledConvolution and ChannelsLastNorm, and what was chosen for each convolution.

    Shapes stay as free as they were; `model` itself if no tile pays.
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
    """Walks the graph once; a tensor may be there in its own layout, with channels last, or both."""

    def __init__(
        self, model: ModelProto, reader: ConvolutionReader, found: dict[str, tuple[FoundConvolution, Choice]]
    ) -> None:
        self._model = model
        self._reader = reader
        self._found = found
        self._builder = GraphBuilder(tensor_names(model))
        # Tensor name to the name of the same with channels last.
        self._rows: dict[str, str] = {}
        self._plain = {value.name for value in model.graph.input} | {tensor.name for tensor in model.graph.initializer}

    def run(self) -> ModelProto:
        nodes = list(self._model.graph.node)
        outputs = [value.name for value in self._model.graph.output]
        # A Pad that nothing reads any more but the convolutions that took it in.
        others = {name for node in nodes if node.output[0] not in self._found for name in names_read(node)} | set(
            outputs
        )
        absorbed = {read.pad for read, _ in self._found.values()} - others
        for node in nodes:
            if node.output[0] not in absorbed:
                self._lower(node)
        for name in outputs:
            self._to_plain(name)
        return rebuild(self._model, self._builder)

    def _lower(self, node: NodeProto) -> None:
        (result, *_) = node.output
        if result in self._found:
            self._rows[result] = self._lower_convolution(node)
        elif self._stays_in_rows(node):
            self._rows[result] = self._lower_in_rows(node)
        else:
            for name in names_read(node):
                self._to_plain(name)
            self._builder.nodes.append(node)
            self._plain.update(node.output)

    def _stays_in_rows(self, node: NodeProto) -> bool:
        """Whether the node can take its tensors with channels last, and has one that is so already."""
        if node.op_type in UNARY:
            return node.input[0] in self._rows
        if node.op_type == "InstanceNormalization":
            return node.input[0] in self._rows and all(name in self._reader.constants for name in node.input[1:])
        if node.op_type in BINARY:
            inside = [name in self._rows for name in node.input]
            single = [name in self._reader.constants and self._reader.constants[name].size == 1 for name in node.input]
            return any(inside) and all(map(max, inside, single))
        return False

    def _lower_convolution(self, node: NodeProto) -> str:
        read, choice = self._found[node.output[0]]
        assert choice.tiling is not None
        inputs = [self._to_rows(read.source), *(name for name in node.input[1:] if name)]
        attributes = {**describe_convolution(read.convolution), "tile": choice.tiling.outputs}
        return self._add_internal(TILED, inputs, node, **attributes)

    def _lower_in_rows(self, node: NodeProto) -> str:
        if node.op_type == "InstanceNormalization":
            epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
            return self._add_internal(NORM, [self._rows[node.input[0]], *node.input[1:]], node, epsilon=epsilon)
        inputs = [self._rows[given] if given in self._rows else self._scalar(given) for given in node.input]
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        return self._builder.add(node.op_type, inputs, f"{node.output[0]}_channels_last", **attributes)

    def _add_internal(self, op: str, inputs: list[str], node: NodeProto, **attributes: Any) -> str:
        output = self._builder.name(f"{node.output[0]}_channels_last")
        self._builder.nodes.append(make_internal_node(op, inputs, output, **attributes))
        return output

    def _scalar(self, name: str) -> str:
        return self._builder.constant(self._reader.constants[name].reshape(()), f"{name}_scalar")

    def _to_rows(self, name: str) -> str:
        if name not in self._rows:
            self._rows[name] = self._builder.add("Transpose", [name], f"{name}_channels_last", perm=[0, 2, 3, 1])
        return self._rows[name]

    def _to_plain(self, name: str) -> None:
        if name in self._rows and name not in self._plain:
            self._builder.define("Transpose", [self._rows[name]], name, perm=[0, 3, 1, 2])
            self._plain.add(name)
