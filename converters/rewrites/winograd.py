"""Compute convolutions in tiles (`tiling`) wherever that pays (`choose_tiling`), with their channels last.

Between tiled convolutions the channels stay last (`channels_last`). A reflecting Pad in front of a tiled convolution
becomes part of the convolution's indices.
"""

from __future__ import annotations

from onnx import ModelProto

from converters.onnx_graph.builder import GraphBuilder, rebuild
from converters.onnx_graph.traversal import read_names
from converters.rewrites.channels_last import ChannelsLastWriter
from converters.rewrites.choices import ConvolutionChoice
from converters.rewrites.choose_tiling import Choice, choose_tiling
from converters.rewrites.internal_ops import TILED, describe_convolution
from converters.rewrites.read_convolution import OPERATORS, ConvolutionReader, FoundConvolution
from converters.rewrites.tiling import Convolution


def rewrite_winograd(model: ModelProto) -> tuple[ModelProto, tuple[ConvolutionChoice, ...]]:
    """A copy of `model` with TiledConvolution and ChannelsLastNorm, and a record of each convolution.

    Free sizes stay free. If tiles pay for no convolution, the graph is `model` itself.
    """
    reader = ConvolutionReader(model)
    found: dict[str, tuple[FoundConvolution, Choice]] = {}
    pointwise: dict[str, Convolution] = {}
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
        elif _is_pointwise(read.convolution):
            pointwise[node.output[0]] = read.convolution
    if not found:
        return model, tuple(choices)
    return _rewrite(model, reader, found, pointwise), tuple(choices)


def _is_pointwise(conv: Convolution) -> bool:
    return conv.kernel == conv.stride == 1 and conv.padding == 0 and not conv.transposed


def _rewrite(
    model: ModelProto,
    reader: ConvolutionReader,
    found: dict[str, tuple[FoundConvolution, Choice]],
    pointwise: dict[str, Convolution],
) -> ModelProto:
    """Write the convolutions of `found` in tiles; both dictionaries go by the name of a convolution's output."""
    builder = GraphBuilder(model)
    writer = ChannelsLastWriter(model, reader.constants, builder, pointwise)
    nodes, outputs = list(model.graph.node), [value.name for value in model.graph.output]
    read_elsewhere = {name for node in nodes if node.output[0] not in found for name in read_names(node)}
    sources = {read.source for read, _ in found.values()}
    absorbed_pads = {read.pad for read, _ in found.values()} - read_elsewhere - sources - set(outputs)
    for node in nodes:
        (result, *_) = node.output
        if result in found:
            read, choice = found[result]
            assert choice.tiling is not None
            inputs = [writer.require_last(read.source), *(name for name in node.input[1:] if name)]
            attributes = {**describe_convolution(read.convolution), "tile": choice.tiling.outputs}
            writer.define(result, TILED, inputs, **attributes)
        elif result not in absorbed_pads:
            writer.write(node)
    for name in outputs:
        writer.require_original(name)
    return rebuild(model, builder)
