"""A convolution of few output channels computes several output pixels at once, as channels.

    y_k(a h + i, b w + j) = z_(k, i, j)(h, w),   z = conv of stride (a, b), kernel (r + a - 1) x (r + b - 1)

whose weights for (k, i, j) are those for k, moved by (i, j), and zero elsewhere. More multiplications, but runtimes
compute 8 or 16 channels at once, and with three of them most of each vector is wasted.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto

from converters.onnx_graph.builder import GraphBuilder, rebuild, tensor_names
from converters.rewrites.choices import ConvolutionChoice
from converters.rewrites.internal_ops import BLOCKS, make_internal_node
from converters.rewrites.read_convolution import ConvolutionReader
from converters.rewrites.tiling import Convolution
from converters.tensors import Array

# Rows and columns of output pixels that become channels; measured: 12 ms, 43 ms without, 15 ms as 4x4 or 2x2.
BLOCK = (2, 4)
# With more channels than this most of a vector is used anyway.
MOST_OUTPUTS = 4
FEWEST_INPUTS = 16


def rewrite_block_convolution(model: ModelProto) -> tuple[ModelProto, tuple[ConvolutionChoice, ...]]:
    """A copy of `model` in which such convolutions are BlockConvolution, and what was chosen for each.

    `model` itself if there is none.
    """
    reader = ConvolutionReader(model)
    builder = GraphBuilder(tensor_names(model))
    choices = []
    for node in model.graph.node:
        read = reader.read(node) if node.op_type == "Conv" else ""
        if isinstance(read, str) or not _pays(read.convolution):
            builder.nodes.append(node)
            continue
        # A reflection stays in front of it: what it reads is padded already.
        padding = 0 if read.convolution.reflect else read.convolution.padding
        rows, columns = BLOCK
        attributes = {"padding": padding, "rows": rows, "columns": columns}
        builder.nodes.append(make_internal_node(BLOCKS, list(node.input), node.output[0], **attributes))
        choices.append(_describe(node, read.convolution))
    return (rebuild(model, builder), tuple(choices)) if choices else (model, ())


def _pays(conv: Convolution) -> bool:
    return (
        not conv.transposed
        and conv.stride == conv.dilation == 1
        and conv.kernel > 1
        and conv.out_channels <= MOST_OUTPUTS
        and conv.in_channels >= FEWEST_INPUTS
    )


def _describe(node: NodeProto, conv: Convolution) -> ConvolutionChoice:
    rows, columns = BLOCK
    sums = float(conv.in_channels * conv.out_channels)
    return ConvolutionChoice(
        node.name or node.output[0],
        "blocks",
        f"{conv.out_channels} outputs fill no vector; {rows}x{columns} pixels of them do",
        before=sums * conv.kernel**2,
        after=sums * (conv.kernel + rows - 1) * (conv.kernel + columns - 1),
    )


def make_block_weight(weight: Array, rows: int, columns: int) -> Array:
    """(K, C, r, r) -> (K rows columns, C, r + rows - 1, r + columns - 1), ordered (k, i, j)."""
    out, channels, r, _ = weight.shape
    blocks = np.zeros((out, rows, columns, channels, r + rows - 1, r + columns - 1), np.float32)
    for i in range(rows):
        for j in range(columns):
            blocks[:, i, j, :, i : i + r, j : j + r] = weight
    return blocks.reshape(-1, *blocks.shape[3:])


def spell_blocks(
    b: GraphBuilder, x: str, weight: Array, bias: Array | None, *, padding: int, rows: int, columns: int, name: str
) -> str:
    """Add the operators of a BlockConvolution of `x`; the output, named after `name`."""
    out, _, r, _ = weight.shape
    inputs = [x, b.constant(make_block_weight(weight, rows, columns), f"{name}_weight")]
    if bias is not None:
        inputs.append(b.constant(bias.repeat(rows * columns), f"{name}_bias"))
    # The zeros at the end make room for a last block that is not whole; what it has too much is cut off below.
    pads = [padding, padding, padding + rows - 1, padding + columns - 1]
    blocks = b.add("Conv", inputs, f"{name}_blocks", strides=[rows, columns], pads=pads)
    counts = b.add("Shape", [blocks], f"{name}_counts")
    batch, high, wide = (b.add("Slice", [counts, b.integers(i), b.integers(i + 1)], f"{name}_count") for i in (0, 2, 3))
    split = b.add("Concat", [batch, b.integers(out, rows, columns), high, wide], f"{name}_split", axis=0)
    pixels = b.add("Reshape", [blocks, split], f"{name}_pixels")
    pixels = b.add("Transpose", [pixels], f"{name}_interleaved", perm=[0, 1, 4, 2, 5, 3])
    whole = [
        b.add("Mul", [count, b.integers(side)], f"{name}_whole") for count, side in ((high, rows), (wide, columns))
    ]
    merged = b.add("Concat", [batch, b.integers(out), *whole], f"{name}_merged", axis=0)
    plane = b.add("Reshape", [pixels, merged], f"{name}_plane")
    given = b.add("Slice", [b.add("Shape", [x], f"{name}_shape"), b.integers(2), b.integers(4)], f"{name}_given")
    size = b.add("Add", [given, b.integers(2 * padding - r + 1)], f"{name}_size")
    return b.add("Slice", [plane, b.integers(0, 0), size, b.integers(2, 3)], f"{name}_cut")
