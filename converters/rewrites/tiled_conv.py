"""Write a tiled convolution in ONNX's own operators: two Gathers and three matrix products, for planes of any size.

    y = scatter(A (sum_c U_c * (B gather(x)_c))),   B, U, A of `tiling`

`gather` reads the pixels of every tile; its indices express the padding and the dilation. `scatter` is the Gather that
takes every output pixel from the tile that computed it. Both are exact. The graph computes the indices from the plane's
height and width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.onnx_graph.builder import GraphBuilder
from converters.rewrites.tiling import (
    Convolution,
    Tiling,
    combine_axes,
    list_elements,
    reads_zeros,
    transform_weights,
)


@dataclass(frozen=True)
class NhwcTensor:
    """Names of an NHWC tensor and of its sizes.

    Attributes:
        tensor: The tensor, (N, H, W, C).
        height: H, a scalar int64.
        width: W, a scalar int64.
    """

    tensor: str
    height: str
    width: str


class TiledConvWriter:
    """Writes tiled convolutions. Convolutions of equal geometry on planes of equal size share their index tensors.

    Args:
        builder: Takes the nodes.
        small: Whether the graph keeps the convolutions' own weights and computes those of the products from them.
            Runtimes do that once, when they load it.
    """

    def __init__(self, builder: GraphBuilder, *, small: bool = False) -> None:
        self._builder = builder
        self._small = small
        self._shared: dict[tuple[object, ...], str] = {}

    def write(self, x: NhwcTensor, conv: Convolution, tiling: Tiling, output: str) -> tuple[str, str]:
        """Add the nodes that compute the NHWC tensor `output`; return the names of its height and width."""
        b = self._builder
        height, width = (self._output_size(size, conv) for size in (x.height, x.width))
        read_rows, read_columns = (self._read_coordinates(size, conv, tiling) for size in (x.height, x.width))
        points = self._transform_input(x, self._gather_index(read_rows, read_columns, x, conv, tiling), conv, tiling)
        products = b.add("MatMul", [points, self._weights(conv, tiling, output)], f"{output}_products")
        products = self._reshape(products, (0, tiling.phases**2, tiling.points**2, -1), f"{output}_sums")
        outputs = b.add("MatMul", [b.constant(tiling.output_matrix, f"{output}_A"), products], f"{output}_outputs")
        outputs = self._reshape(outputs, (0, -1, conv.out_channels), f"{output}_output_pixels")
        index = self._scatter_index(height, width, x, conv, tiling)
        rows = b.add("Gather", [outputs, index], f"{output}_scattered", axis=1)
        sizes = [b.integers(0), self._vector(height), self._vector(width), b.integers(conv.out_channels)]
        shape = self._memoize(("shape", height, width, conv.out_channels), "Concat", sizes, "shape", axis=0)
        result = b.add("Reshape", [rows, shape], f"{output}_rows")
        if conv.bias is not None:
            b.add("Add", [result, b.constant(conv.bias, f"{output}_bias")], f"{output}_biased")
        b.rename_last_output(output)
        return height, width

    def _transform_input(self, x: NhwcTensor, index: str, conv: Convolution, tiling: Tiling) -> str:
        """The tiles of `x` times B, (N, products, tiles, lanes^2 * C); convolutions of one tensor share them."""
        b = self._builder
        key = ("points", x.tensor, index, tiling.input_matrix.tobytes())
        if key not in self._shared:
            flat = self._reshape(x.tensor, (0, -1, conv.in_channels), f"{x.tensor}_pixels")
            if reads_zeros(conv):
                flat = b.add("Pad", [flat, b.integers(0, 0, 0, 0, 1, 0)], f"{x.tensor}_with_zeros")
            pixels = b.add("Gather", [flat, index], f"{x.tensor}_gathered", axis=1)
            pixels = self._reshape(pixels, (0, tiling.reads**2, -1), f"{x.tensor}_tiles")
            matrix = b.constant(tiling.input_matrix, f"{x.tensor}_B")
            points = b.add("MatMul", [matrix, pixels], f"{x.tensor}_transformed")
            shape = (0, tiling.products, -1, tiling.lanes**2 * conv.in_channels)
            self._shared[key] = self._reshape(points, shape, f"{x.tensor}_points")
        return self._shared[key]

    def _weights(self, conv: Convolution, tiling: Tiling, output: str) -> str:
        """The weights of the products, as `transform_weights` has them."""
        b = self._builder
        if not self._small:
            return b.constant(transform_weights(conv, tiling), f"{output}_U")
        matrix = b.constant(combine_axes(tiling).astype(np.float32), f"{output}_G")
        points = b.add("MatMul", [matrix, b.constant(list_elements(conv), f"{output}_w")], f"{output}_points")
        shape = (tiling.products, tiling.lanes**2 * conv.in_channels, conv.out_channels)
        return self._reshape(points, shape, f"{output}_U")

    def _output_size(self, size: str, conv: Convolution) -> str:
        reach = conv.dilation * (conv.kernel - 1)
        if conv.transposed:
            grown = self._integer("Mul", size, conv.stride)
            return self._integer("Add", grown, reach + 1 + conv.output_padding - 2 * conv.padding - conv.stride)
        return self._integer(
            "Add", self._divide(self._integer("Add", size, 2 * conv.padding - reach - 1), conv.stride), 1
        )

    def _tiles(self, size: str, conv: Convolution, tiling: Tiling) -> str:
        """Number of tiles along an axis.

        Each residue modulo the dilation gets as many tiles as the residue and phase with the most outputs needs.
        """
        span = tiling.phases * tiling.dilation
        most = self._divide(self._integer("Add", self._output_size(size, conv), span - 1), span)
        per_residue = self._divide(self._integer("Add", most, tiling.outputs - 1), tiling.outputs)
        return self._integer("Mul", per_residue, tiling.dilation)

    def _read_coordinates(self, size: str, conv: Convolution, tiling: Tiling) -> str:
        """Coordinates that the tiles read along an axis, (reads, tiles, lanes) int64; -1 stands for a zero."""
        b = self._builder
        tiles = self._tiles(size, conv, tiling)
        key = (
            "read",
            size,
            tiling.step,
            tiling.increment,
            tiling.start,
            tiling.reads,
            tiling.lanes,
            tiles,
            reads_zeros(conv),
        )
        if key in self._shared:
            return self._shared[key]
        tile = b.add("Range", [b.integer(0), tiles, b.integer(1)], "tile")
        if tiling.dilation > 1:
            step = self._integer("Mul", self._divide(tile, tiling.dilation), tiling.step)
            first = b.add("Add", [step, self._integer("Mod", tile, tiling.dilation)], "first")
        else:
            first = self._integer("Mul", tile, tiling.step)
        first = self._reshape(first, (1, -1, 1), "first")
        reads, lanes = np.arange(tiling.reads)[:, None, None], np.arange(tiling.lanes)
        offsets = tiling.start + tiling.increment * reads + lanes
        at = b.add("Add", [first, b.constant(offsets.astype(np.int64), "offsets")], "at")
        last = self._integer("Sub", size, 1)
        if not reads_zeros(conv):
            # A tile that reaches over the end may need more than one reflection; no output pixel is taken from there.
            mirrored = b.add("Sub", [last, b.add("Abs", [at], "at")], "mirrored")
            at = b.add("Sub", [last, b.add("Abs", [mirrored], "mirrored")], "at")
            at = b.add("Max", [at, b.integer(0)], "at")
        else:
            outside = b.add("Greater", [at, last], "outside")
            at = b.add("Where", [outside, b.integer(-1), b.add("Max", [at, b.integer(-1)], "at")], "at")
        self._shared[key] = at
        return at

    def _gather_index(self, rows: str, columns: str, x: NhwcTensor, conv: Convolution, tiling: Tiling) -> str:
        """Indices of the pixels that the tiles read, a vector; H * W stands for a zero.

        In the order (reads_h, reads_w, tiles_h, tiles_w, lanes_h, lanes_w).
        """
        b = self._builder
        key = ("read index", rows, columns, x.width)
        if key not in self._shared:
            high = self._reshape(rows, (tiling.reads, 1, -1, 1, tiling.lanes, 1), "rows")
            wide = self._reshape(columns, (1, tiling.reads, 1, -1, 1, tiling.lanes), "columns")
            index = b.add("Add", [b.add("Mul", [high, x.width], "row_start"), wide], "pixel")
            if reads_zeros(conv):
                inside = b.add(
                    "Not", [b.add("Less", [b.add("Min", [high, wide], "least"), b.integer(0)], "zero")], "inside"
                )
                end = b.add("Mul", [x.height, x.width], "end")
                index = b.add("Where", [inside, index, end], "pixel")
            self._shared[key] = self._reshape(index, (-1,), "read_index")
        return self._shared[key]

    def _scatter_index(self, height: str, width: str, x: NhwcTensor, conv: Convolution, tiling: Tiling) -> str:
        """For every output pixel, its index in the order (phases^2, outputs^2, tiles_h, tiles_w), a vector."""
        b = self._builder
        tiles_h, tiles_w = (self._tiles(size, conv, tiling) for size in (x.height, x.width))
        key = ("write index", height, width, tiles_h, tiles_w, tiling.outputs, tiling.phases, tiling.dilation)
        if key not in self._shared:
            tiles = b.add("Mul", [tiles_h, tiles_w], "tiles")
            phases, outputs = tiling.phases, tiling.outputs
            slot, tile = self._split(height, tiling, (phases * outputs**2, outputs))
            high = b.add("Add", [b.add("Mul", [slot, tiles], "slot"), b.add("Mul", [tile, tiles_w], "tile")], "high")
            slot, tile = self._split(width, tiling, (outputs**2, 1))
            wide = b.add("Add", [b.add("Mul", [slot, tiles], "slot"), tile], "wide")
            index = b.add("Add", [self._reshape(high, (-1, 1), "high"), wide], "pixel")
            self._shared[key] = self._reshape(index, (-1,), "write_index")
        return self._shared[key]

    def _split(self, size: str, tiling: Tiling, weights: tuple[int, int]) -> tuple[str, str]:
        """Split the output coordinates along an axis into two vectors.

        Returns:
            weights[0] * phase + weights[1] * (place in the tile), and the number of the tile.
        """
        b = self._builder
        output = b.add("Range", [b.integer(0), size, b.integer(1)], "output")
        number, phase = self._divmod(output, tiling.phases)
        number, residue = self._divmod(number, tiling.dilation)
        tile, place = self._divmod(number, tiling.outputs)
        assert place is not None  # every tile has more than one output
        slot = self._integer("Mul", place, weights[1])
        if phase is not None:
            slot = b.add("Add", [slot, self._integer("Mul", phase, weights[0])], "slot")
        if residue is not None:
            tile = b.add("Add", [self._integer("Mul", tile, tiling.dilation), residue], "tile")
        return slot, tile

    def _divmod(self, value: str, divisor: int) -> tuple[str, str | None]:
        if divisor == 1:
            return value, None
        return self._divide(value, divisor), self._integer("Mod", value, divisor)

    def _divide(self, value: str, divisor: int) -> str:
        return value if divisor == 1 else self._integer("Div", value, divisor)

    def _integer(self, op: str, value: str, operand: int) -> str:
        """Apply an operator with an integer as second operand; return `value` itself if that changes nothing."""
        if (op, operand) in (("Mul", 1), ("Add", 0), ("Sub", 0)):
            return value
        return self._memoize((op, value, operand), op, [value, self._builder.integer(operand)], op.lower())

    def _vector(self, scalar: str) -> str:
        return self._memoize(("vector", scalar), "Reshape", [scalar, self._builder.integers(1)], "size")

    def _reshape(self, tensor: str, shape: tuple[int, ...], name: str) -> str:
        return self._builder.add("Reshape", [tensor, self._builder.integers(*shape)], name)

    def _memoize(self, key: tuple[object, ...], op: str, inputs: list[str], name: str, **attributes: object) -> str:
        if key not in self._shared:
            self._shared[key] = self._builder.add(op, inputs, name, **attributes)
        return self._shared[key]
