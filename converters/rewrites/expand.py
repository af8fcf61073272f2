"""Replace internal operators (`internal_ops`) by ONNX's own operators."""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from converters.onnx_graph.builder import GraphBuilder, rebuild
from converters.onnx_graph.nodes import INTERNAL_DOMAIN, read_attributes, read_constants
from converters.rewrites.accurate_norm import expand_norm
from converters.rewrites.block_convolution import expand_block_convolution
from converters.rewrites.internal_ops import BLOCKS, NORM, TILED, restore_convolution
from converters.rewrites.planes import read_planes
from converters.rewrites.tiled_conv import NhwcTensor, TiledConvWriter
from converters.rewrites.tiling import make_tiling
from converters.tensors import Array


def expand(model: ModelProto, *, small: bool = False) -> ModelProto:
    """A copy of `model` with ONNX's own operators only, or `model` itself if it has no others.

    Args:
        model: The graph.
        small: Whether weights of tiles are computed in the graph; see TiledConvWriter.
    """
    if all(node.domain != INTERNAL_DOMAIN for node in model.graph.node):
        return model
    return _Expansion(model, small).run()


class _Expansion:
    """Walks the graph once and remembers which scalar tensors hold the height and width of NHWC tensors."""

    def __init__(self, model: ModelProto, small: bool) -> None:
        self._model = model
        self._builder = GraphBuilder(model)
        self._writer = TiledConvWriter(self._builder, small=small)
        self._constants = read_constants(model)
        self._planes = read_planes(model)
        # Names of the height and width, by `read_planes`' representative of the NHWC tensors that have them.
        self._sizes: dict[str, tuple[str, str]] = {}

    def run(self) -> ModelProto:
        expansions = {TILED: self._expand_tiles, NORM: self._expand_norm, BLOCKS: self._expand_blocks}
        for node in self._model.graph.node:
            if node.domain == INTERNAL_DOMAIN and node.op_type in expansions:
                expansions[node.op_type](node)
            else:
                self._builder.nodes.append(node)
        return rebuild(self._model, self._builder)

    def _expand_tiles(self, node: NodeProto) -> None:
        attributes = read_attributes(node)
        conv = restore_convolution(*self._weights(node), attributes)
        x = NhwcTensor(node.input[0], *self._size_of(node.input[0]))
        (output,) = node.output
        height, width = self._writer.write(x, conv, make_tiling(conv, attributes["tile"]), output)
        self._sizes.setdefault(self._planes[output], (height, width))

    def _expand_norm(self, node: NodeProto) -> None:
        x, scale, bias = node.input
        epsilon = read_attributes(node)["epsilon"]
        expand_norm(
            self._builder,
            x,
            self._constants[scale],
            self._constants[bias],
            epsilon,
            plane_axes=(1, 2),
            output=node.output[0],
        )

    def _expand_blocks(self, node: NodeProto) -> None:
        expand_block_convolution(
            self._builder, node.input[0], *self._weights(node), **read_attributes(node), output=node.output[0]
        )

    def _weights(self, node: NodeProto) -> tuple[Array, Array | None]:
        return self._constants[node.input[1]], self._constants[node.input[2]] if len(node.input) > 2 else None

    def _size_of(self, tensor: str) -> tuple[str, str]:
        """Names of two int64 scalars: height and width of an NHWC tensor."""
        plane = self._planes[tensor]
        if plane not in self._sizes:
            b = self._builder
            shape = b.add("Shape", [tensor], f"{tensor}_shape")
            height = b.add("Gather", [shape, b.integer(1)], f"{tensor}_height")
            width = b.add("Gather", [shape, b.integer(2)], f"{tensor}_width")
            self._sizes[plane] = height, width
        return self._sizes[plane]
