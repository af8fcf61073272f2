"""A convolution with few output channels computes a block of output pixels at once, as more output channels.

    y_k(a h + i, b w + j) = z_(k, i, j)(h, w),   z = conv of stride (a, b), kernel (r + a - 1) x (r + b - 1)

The weights of z's channel (k, i, j) are the weights of y's channel k, moved by (i, j), and zero elsewhere. This takes
more multiplications, but runtimes compute 8 or 16 channels at once, so that three channels waste most of each vector.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto

from converters.onnx_graph.builder import GraphBuilder, rebuild
from converters.onnx_graph.traversal import read_names
from converters.rewrites.choices import ConvolutionChoice
from converters.rewrites.internal_ops import BLOCKS, make_internal_node
from converters.rewrites.read_convolution import ConvolutionReader
from converters.rewrites.tiling import Convolution
from converters.tensors import Array

# Rows and columns of a block. Measured: 12 ms in blocks of 2x4, 15 ms in blocks of 4x4 or 2x2, 43 ms without blocks.
BLOCK = (2, 4)
# With more output channels, most of a vector is used anyway.
MAX_OUT_CHANNELS = 4
MIN_IN_CHANNELS = 16


def rewrite_block_convolution(model: ModelProto) -> tuple[ModelProto, tuple[ConvolutionChoice, ...]]:
    """A copy of `model` with BlockConvolution in place of each Conv with few output channels, and a record of each.

    If there is no such Conv, the graph is `model` itself.
    """
    reader = ConvolutionReader(model)
    builder = GraphBuilder(model)
    choices = []
    for node in model.graph.node:
        found = reader.read(node) if node.op_type == "Conv" else ""
        if isinstance(found, str) or not _pays(found.convolution):
            builder.nodes.append(node)
            continue
        # A reflecting Pad stays in the graph, so that the convolution's input is padded already.
        padding = 0 if found.convolution.reflect else found.convolution.padding
        rows, columns = BLOCK
        attributes = {"padding": padding, "rows": rows, "columns": columns}
        builder.nodes.append(make_internal_node(BLOCKS, list(read_names(node)), node.output[0], **attributes))
        choices.append(_describe(node, found.convolution))
    return (rebuild(model, builder), tuple(choices)) if choices else (model, ())


def _pays(conv: Convolution) -> bool:
    return (
        not conv.transposed
        and conv.stride == conv.dilation == 1
        and conv.kernel > 1
        and conv.out_channels <= MAX_OUT_CHANNELS
        and conv.in_channels >= MIN_IN_CHANNELS
    )


def _describe(node: NodeProto, conv: Convolution) -> ConvolutionChoice:
    rows, columns = BLOCK
    channel_pairs = float(conv.in_channels * conv.out_channels)
    return ConvolutionChoice(
        node.name or node.output[0],
        "blocks",
        f"{conv.out_channels} outputs fill no vector; {rows}x{columns} pixels of them do",
        before=channel_pairs * conv.kernel**2,
        after=channel_pairs * (conv.kernel + rows - 1) * (conv.kernel + columns - 1),
    )


def make_block_weight(weight: Array, rows: int, columns: int) -> Array:
    """The weights of a convolution that computes blocks of output pixels.

    Args:
        weight: (K, C, r, r) float32, of the original convolution.
        rows: Rows of a block.
        columns: Columns of a block.

    Returns:
        (K * rows * columns, C, r + rows - 1, r + columns - 1) float32, output channels in the order (k, i, j).
    """
    out, channels, r, _ = weight.shape
    blocks = np.zeros((out, rows, columns, channels, r + rows - 1, r + columns - 1), np.float32)
    for i in range(rows):
        for j in range(columns):
            blocks[:, i, j, :, i : i + r, j : j + r] = weight
    return blocks.reshape(-1, *blocks.shape[3:])


def expand_block_convolution(
    b: GraphBuilder, x: str, weight: Array, bias: Array | None, *, padding: int, rows: int, columns: int, output: str
) -> None:
    """Add the plain operators of a BlockConvolution.

    Args:
        x: Name of the input, (N, C, H, W).
        weight: (K, C, r, r) float32.
        bias: (K,) float32, or None.
        padding: Rows and columns of zeros on each side of the input.
        rows: Rows of a block.
        columns: Columns of a block.
        output: Name of the result, (N, K, H', W').
    """
    out, _, r, _ = weight.shape
    inputs = [x, b.constant(make_block_weight(weight, rows, columns), f"{output}_weight")]
    if bias is not None:
        inputs.append(b.constant(bias.repeat(rows * columns), f"{output}_bias"))
    # The extra zeros at the end let the last block reach over the edge; the Slice below cuts off its extra pixels.
    pads = [padding, padding, padding + rows - 1, padding + columns - 1]
    blocks = b.add("Conv", inputs, f"{output}_blocks", strides=[rows, columns], pads=pads)
    counts = b.add("Shape", [blocks], f"{output}_counts")
    batch, high, wide = (
        b.add("Slice", [counts, b.integers(i), b.integers(i + 1)], f"{output}_count") for i in (0, 2, 3)
    )
    split = b.add("Concat", [batch, b.integers(out, rows, columns), high, wide], f"{output}_split", axis=0)
    pixels = b.add("Reshape", [blocks, split], f"{output}_pixels")
    pixels = b.add("Transpose", [pixels], f"{output}_interleaved", perm=[0, 1, 4, 2, 5, 3])
    whole = [
        b.add("Mul", [count, b.integers(side)], f"{output}_whole") for count, side in ((high, rows), (wide, columns))
    ]
    merged = b.add("Concat", [batch, b.integers(out), *whole], f"{output}_merged", axis=0)
    plane = b.add("Reshape", [pixels, merged], f"{output}_plane")
    given = b.add("Slice", [b.add("Shape", [x], f"{output}_shape"), b.integers(2), b.integers(4)], f"{output}_given")
    size = b.add("Add", [given, b.integers(2 * padding - r + 1)], f"{output}_size")
    b.add("Slice", [plane, b.integers(0, 0), size, b.integers(2, 3)], f"{output}_cut")
    b.rename_last_output(output)
