"""Spell our own operators (`internal_ops`) in those of ONNX."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, numpy_helper

from converters.onnx_graph.builder import GraphBuilder, rebuild, tensor_names
from converters.rewrites.accurate_norm import spell_norm
from converters.rewrites.block_convolution import spell_blocks
from converters.rewrites.internal_ops import BLOCKS, DOMAIN, NORM, TILED, read_internal_attributes, restore_convolution
from converters.rewrites.planes import read_planes
from converters.rewrites.tiled_conv import NhwcTensor, TiledConvWriter
from converters.rewrites.tiling import make_tiling
from converters.tensors import Array


def expand(model: ModelProto) -> ModelProto:
    """A copy of `model` of ONNX's own operators; itself if it has no other."""
    if all(node.domain != DOMAIN for node in model.graph.node):
        return model
    return _Expansion(model).run()


class _Expansion:
    """Walks the graph once; tensors with channels last keep the names of their height and width."""

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        self._builder = GraphBuilder(tensor_names(model))
        self._writer = TiledConvWriter(self._builder)
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self._planes = read_planes(model)
        self._sizes: dict[str, tuple[str, str]] = {}

    def run(self) -> ModelProto:
        for node in self._model.graph.node:
            spell = {TILED: self._spell_tiles, NORM: self._spell_norm, BLOCKS: self._spell_blocks}.get(node.op_type)
            if node.domain == DOMAIN and spell is not None:
                spell(node)
            else:
                self._builder.nodes.append(node)
        return rebuild(self._model, self._builder)

    def _spell_tiles(self, node: NodeProto) -> None:
        attributes = read_internal_attributes(node)
        conv = restore_convolution(*self._weights(node), attributes)
        height, width = self._size_of(node.input[0])
        (y,) = node.output
        rows = self._writer.write(
            NhwcTensor(node.input[0], height, width), conv, make_tiling(conv, attributes["tile"]), y
        )
        self._end_with(y)
        self._sizes.setdefault(self._planes[y], (rows.height, rows.width))

    def _spell_norm(self, node: NodeProto) -> None:
        x, scale, bias = node.input
        (y,) = node.output
        epsilon = read_internal_attributes(node)["epsilon"]
        spell_norm(self._builder, x, self._constants[scale], self._constants[bias], epsilon, plane=(1, 2), name=y)
        self._end_with(y)

    def _spell_blocks(self, node: NodeProto) -> None:
        spell_blocks(
            self._builder, node.input[0], *self._weights(node), **read_internal_attributes(node), name=node.output[0]
        )
        self._end_with(node.output[0])

    def _weights(self, node: NodeProto) -> tuple[Array, Array | None]:
        return self._constants[node.input[1]], self._constants[node.input[2]] if len(node.input) > 2 else None

    def _end_with(self, output: str) -> None:
        """Give the last node's output the name that the spelled node's had."""
        self._builder.nodes[-1].output[0] = output

    def _size_of(self, rows: str) -> tuple[str, str]:
        """Names of its height and width."""
        plane = self._planes[rows]
        if plane not in self._sizes:
            b = self._builder
            shape = b.add("Shape", [rows], f"{rows}_shape")
            height = b.add("Gather", [shape, b.integer(1)], f"{rows}_height")
            width = b.add("Gather", [shape, b.integer(2)], f"{rows}_width")
            self._sizes[plane] = height, width
        return self._sizes[plane]
