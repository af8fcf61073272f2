"""Converters of the internal operators (`rewrites.internal_ops`).

A tiled convolution becomes two `take`s and products with constants (`constant_products`), as in `rewrites.tiled_conv`,
for planes of any size. Here
"plane" is the height and width of a tensor, and axes 1 and 2 are its rows and columns: tensors are (N, H, W, C).

MXNet 1.9.1 gives no shape as numbers to compute with at free sizes. Instead, index vectors are counted along axes of
tensors that have the wanted length: a vector as long as the plane's side, and the output of a convolution of the same
geometry on that vector, which is as long as the output's side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converters.rewrites.block_convolution import make_block_weight
from converters.rewrites.internal_ops import BLOCKS, NORM, TILED, restore_convolution
from converters.rewrites.tiling import Convolution, Tiling, make_tiling, reads_zeros, transform_weights
from converters.targets.mxnet.ops.constant_products import count_rows, multiply_each, transform
from converters.targets.mxnet.ops.normalization import ChannelsLastMeans, write_norm
from converters.targets.mxnet.ops.registry import INTERNAL_OPS, Emitter, Value


@INTERNAL_OPS.op(NORM, since=1)
def channels_last_norm(emit: Emitter, x: Value, scale: Value, b: Value, *, epsilon: float) -> Value:
    """InstanceNormalization with channels last: x: (N, H, W, C), scale: (C,), b: (C,) -> (N, H, W, C)."""
    factors, offsets = emit.require_array(scale, "scale"), emit.require_array(b, "bias")
    return write_norm(emit, x, ChannelsLastMeans(emit, x), factors, offsets, epsilon)


@INTERNAL_OPS.op(BLOCKS, since=1)
def block_convolution(
    emit: Emitter, x: Value, w: Value, b: Value | None = None, *, padding: int, rows: int, columns: int
) -> Value:
    """A convolution of stride 1, in blocks of rows x columns output pixels: (N, C, H, W) -> (N, K, H', W')."""
    weight = emit.require_array(w, "weight")
    out, _, r, _ = weight.shape
    blocks = make_block_weight(weight, rows, columns)
    inputs = [emit.constant("weight", blocks)]
    if b is not None:
        inputs.append(emit.constant("bias", emit.require_array(b, "bias").repeat(rows * columns)))
    # More zeros at the end make the last block whole. `slice_like` cuts its surplus pixels off.
    width = [0, 0, 0, 0, padding, padding + rows - 1, padding, padding + columns - 1]
    padded = emit("Pad", x, suffix="padded", mode="constant", pad_width=width)
    y = emit(
        "Convolution",
        padded,
        *inputs,
        suffix="blocks",
        num_filter=blocks.shape[0],
        kernel=blocks.shape[2:],
        stride=(rows, columns),
        no_bias=b is None,
    )
    y = emit("Reshape", y, suffix="split", shape=(0, -4, out, -1, -2))
    y = emit("Reshape", y, suffix="split_block", shape=(0, 0, -4, rows, columns, -2))
    y = emit("transpose", y, suffix="interleaved", axes=(0, 1, 4, 2, 5, 3))
    y = emit("Reshape", y, suffix="plane", shape=(0, 0, -3, -3))
    sides = []
    for axis, shape, kernel, pad in (
        (2, (1, 1, -1, 1), (r, 1), (padding, 0)),
        (3, (1, 1, 1, -1), (1, r), (0, padding)),
    ):
        side = emit("_contrib_arange_like", x, suffix="side", axis=axis)
        side = emit("Reshape", side, suffix="side", shape=shape)
        sides.append(_convolve_ones(emit, side, kernel, padding=pad, suffix="length"))
    like = emit("broadcast_add", *sides, suffix="like")
    return emit("slice_like", y, like, axes=(2, 3))


@INTERNAL_OPS.op(TILED, since=1)
def tiled_convolution(
    emit: Emitter,
    x: Value,
    w: Value,
    b: Value | None = None,
    *,
    tile: int,
    stride: int,
    dilation: int,
    padding: int,
    reflect: int,
    transposed: int,
    output_padding: int,
) -> Value:
    """A convolution computed in tiles (`rewrites.tiling`): (N, H, W, C) -> (N, H', W', K)."""
    attributes = {"stride": stride, "dilation": dilation, "padding": padding, "reflect": reflect}
    attributes |= {"transposed": transposed, "output_padding": output_padding}
    bias = None if b is None else emit.require_array(b, "bias")
    conv = restore_convolution(emit.require_array(w, "weight"), bias, attributes)
    tiling = make_tiling(conv, tile)
    index = _Index(emit, x, conv, tiling)
    channels = tiling.lanes**2 * conv.in_channels
    pixels = emit("Reshape", x, suffix="pixels", shape=(-1, conv.in_channels))
    if reads_zeros(conv):
        zeros = emit.constant("zeros", np.zeros((1, conv.in_channels), np.float32))
        pixels = emit("Concat", zeros, pixels, suffix="with_zeros", dim=0, num_args=2)
    gathered = emit("take", pixels, index.read(), suffix="gathered", axis=0, mode="clip")
    tiles = emit("Reshape", gathered, suffix="tiles", shape=(1, tiling.reads**2, -1, channels))
    tiles = emit("transpose", tiles, suffix="tiles_last", axes=(0, 1, 3, 2))
    points = transform(emit, tiles, tiling.input_matrix[None], "points")
    if count_rows(tiling.products) > tiling.products:
        points = emit("slice_axis", points, suffix="points", axis=1, begin=0, end=tiling.products)
    sums = multiply_each(emit, points, transform_weights(conv, tiling), "products")
    matrices = np.tile(tiling.output_matrix, (tiling.phases**2, 1, 1))
    outputs = transform(emit, sums, matrices, "outputs")
    outputs = emit("transpose", outputs, suffix="channels_last", axes=(0, 1, 3, 2))
    outputs = emit("Reshape", outputs, suffix="output_pixels", shape=(-1, conv.out_channels))
    if bias is None:
        return emit("take", outputs, index.write(), axis=0, mode="clip")
    rows = emit("take", outputs, index.write(), suffix="scattered", axis=0, mode="clip")
    return emit("broadcast_add", rows, emit.constant("bias", bias.reshape(1, 1, 1, -1)))


class _Index:
    """Index tensors for the two `take`s of a tiled convolution.

    Convolutions of equal geometry on planes of equal size share them.
    """

    def __init__(self, emit: Emitter, x: Value, conv: Convolution, tiling: Tiling) -> None:
        self._emit = emit
        self._x = x
        self._conv = conv
        self._tiling = tiling
        self._plane = emit.plane_of(x)

    def read(self) -> Value:
        """Index of every pixel that the tiles read: (reads_h reads_w, N, tiles_h tiles_w lanes_h lanes_w) int32.

        The index counts pixels in (N, H, W). If the convolution pads with zeros, index 0 is a zero and pixels count
        from 1.
        """
        return self._memoize("read", self._make_read)

    def write(self) -> Value:
        """Index of every output pixel among the tiles' outputs: (N, H', W') int32.

        The tiles' outputs are ordered as (phases^2, outputs^2 and what `count_rows` adds, N, tiles_h, tiles_w).
        """
        return self._memoize("write", self._make_write)

    def _make_read(self) -> Value:
        t, zeros = self._tiling, reads_zeros(self._conv)
        (high, inside_h), (wide, inside_w) = self._coordinates(1), self._coordinates(2)
        width = self._integer(self._length(2))
        pixel = self._outer("broadcast_add", self._do("broadcast_mul", high, width), wide)
        if inside_h is not None and inside_w is not None:
            inside = self._outer("broadcast_mul", inside_h, inside_w)
            pixel = self._do("broadcast_mul", self._do("_plus_scalar", pixel, scalar=1), inside)
        # From (reads_h tiles_h lanes_h, reads_w tiles_w lanes_w): split all axes, then bring them into order.
        pixel = self._do("Reshape", pixel, shape=(-4, t.reads, -1, -4, t.reads, -1))
        pixel = self._do("Reshape", pixel, shape=(0, -4, -1, t.lanes, 0, -4, -1, t.lanes))
        pixel = self._do("transpose", pixel, axes=(0, 3, 1, 4, 2, 5))
        pixel = self._do("Reshape", pixel, shape=(t.reads**2, 1, -1))
        size = self._do("broadcast_mul", self._integer(self._length(1)), width)
        item = self._do("broadcast_mul", self._integer(self._range_of_batch()), size)
        item = self._do("Reshape", item, shape=(1, -1, 1))
        if zeros:  # index 0 stays 0 in every item of the batch
            shifts = self._do("broadcast_mul", item, self._do("_greater_scalar", pixel, scalar=0))
            return self._do("broadcast_add", pixel, shifts)
        return self._do("broadcast_add", pixel, item)

    def _make_write(self) -> Value:
        t = self._tiling
        tiles_h, tiles_w = (self._integer(self._count(self._tile_vector(axis))) for axis in (1, 2))
        tiles = self._do("broadcast_mul", tiles_h, tiles_w)
        items = self._integer(self._do("_plus_scalar", self._last(self._range_of_batch()), scalar=1))
        all_tiles = self._do("broadcast_mul", tiles, items)

        def index_along(axis: int, weights: tuple[int, int], tiles_per_row: Value | None) -> Value:
            slot, tile = self._split(axis, weights)
            tile = self._integer(tile)
            if tiles_per_row is not None:
                tile = self._do("broadcast_mul", tile, tiles_per_row)
            return self._do("broadcast_add", self._do("broadcast_mul", self._integer(slot), all_tiles), tile)

        rows = count_rows(t.outputs**2)
        high = index_along(1, (t.phases * rows, t.outputs), tiles_w)
        wide = index_along(2, (rows, 1), None)
        plane = self._outer("broadcast_add", high, wide)
        item = self._do("broadcast_mul", self._integer(self._range_of_batch()), tiles)
        item = self._do("Reshape", item, shape=(-1, 1, 1))
        return self._do("broadcast_add", self._do("expand_dims", plane, axis=0), item)

    def _coordinates(self, axis: int) -> tuple[Value, Value | None]:
        """The coordinate along an axis of every pixel that the tiles read: (reads * tiles * lanes,) int32.

        With zero padding also a tensor of the same shape that is 1 inside the plane and 0 in the padding. With
        reflect padding the coordinates are those of the mirrored pixels.
        """
        t = self._tiling
        tile = self._range(self._tile_vector(axis))
        if t.dilation > 1:
            group = self._do("floor", self._do("_div_scalar", tile, scalar=t.dilation))
            residue = self._do("elemwise_sub", tile, self._do("_mul_scalar", group, scalar=t.dilation))
            first = self._do("elemwise_add", self._do("_mul_scalar", group, scalar=t.step), residue)
        else:
            first = self._do("_mul_scalar", tile, scalar=t.step)
        reads, lanes = np.arange(t.reads)[:, None, None], np.arange(t.lanes)
        offsets = (t.start + t.increment * reads + lanes).astype(np.float32)
        first = self._do("Reshape", first, shape=(1, -1, 1))
        at = self._do("broadcast_add", first, self._emit.constant("offsets", offsets))
        at = self._do("Reshape", at, shape=(-1,))
        last = self._do("_minus_scalar", self._length(axis), scalar=1)
        if not reads_zeros(self._conv):
            # Tiles beyond the end of the plane may read past one mirror image. No output pixel comes from there.
            mirrored = self._do("broadcast_sub", last, self._do("abs", at))
            at = self._do("broadcast_sub", last, self._do("abs", mirrored))
            return self._integer(self._do("_maximum_scalar", at, scalar=0)), None
        inside = self._do(
            "elemwise_mul",
            self._do("_greater_equal_scalar", at, scalar=0),
            self._do("broadcast_lesser_equal", at, last),
        )
        return self._integer(at), self._integer(inside)

    def _split(self, axis: int, weights: tuple[int, int]) -> tuple[Value, Value]:
        """For every output pixel along an axis: its slot in the tile, and the number of its tile.

        The slot is weights[0] * phase + weights[1] * place, where place counts the tile's outputs.
        """
        t = self._tiling
        number, phase = self._divmod(self._range(self._output_vector(axis)), t.phases)
        number, residue = self._divmod(number, t.dilation)
        tile, place = self._divmod(number, t.outputs)
        assert place is not None  # no tiling has one output
        slot = self._do("_mul_scalar", place, scalar=weights[1])
        if phase is not None:
            slot = self._do("elemwise_add", slot, self._do("_mul_scalar", phase, scalar=weights[0]))
        if residue is not None:
            tile = self._do("elemwise_add", self._do("_mul_scalar", tile, scalar=t.dilation), residue)
        return slot, tile

    def _divmod(self, value: Value, divisor: int) -> tuple[Value, Value | None]:
        """Quotient and remainder; no remainder for divisor 1."""
        if divisor == 1:
            return value, None
        quotient = self._do("floor", self._do("_div_scalar", value, scalar=divisor))
        return quotient, self._do("elemwise_sub", value, self._do("_mul_scalar", quotient, scalar=divisor))

    def _plane_vector(self, axis: int) -> Value:
        """A vector as long as the plane along an axis: (1, 1, length, 1)."""

        def make() -> Value:
            return self._do("Reshape", self._do("_contrib_arange_like", self._x, axis=axis), shape=(1, 1, -1, 1))

        return self._emit.memoize(("plane vector", self._plane, axis), make)

    def _output_vector(self, axis: int) -> Value:
        """A vector as long as the output along an axis: (1, 1, output length, 1).

        It is the output of a convolution of the same geometry on the plane's vector.
        """
        c = self._conv
        if c.stride == 1 and not c.transposed and c.dilation * (c.kernel - 1) == 2 * c.padding:
            return self._plane_vector(axis)

        def make() -> Value:
            return _convolve_ones(
                self._emit,
                self._plane_vector(axis),
                (c.kernel, 1),
                padding=(c.padding, 0),
                stride=c.stride,
                dilation=c.dilation,
                output_padding=c.output_padding if c.transposed else None,
                suffix="length",
            )

        return self._memoize(f"output vector {axis}", make)

    def _tile_vector(self, axis: int) -> Value:
        """A vector as long as there are tiles along an axis: (1, 1, tiles, 1).

        `dilation` tiles cover `phases * dilation * outputs` output pixels.
        """

        def make() -> Value:
            t = self._tiling
            step = t.phases * t.dilation * t.outputs
            vector = self._do(
                "slice",
                self._output_vector(axis),
                begin="(None, None, None, None)",
                end="(None, None, None, None)",
                step=f"(None, None, {step}, None)",
            )
            return vector if t.dilation == 1 else self._do("repeat", vector, axis=2, repeats=t.dilation)

        return self._memoize(f"tile vector {axis}", make)

    def _range(self, vector: Value) -> Value:
        """0, 1, 2, ... along axis 2 of the vector."""
        return self._do("_contrib_arange_like", vector, axis=2)

    def _range_of_batch(self) -> Value:
        # Tensors whose planes are known to be equal come of one tensor, item by item: they have its batch, too.
        return self._emit.memoize(("batch", self._plane), lambda: self._do("_contrib_arange_like", self._x, axis=0))

    def _count(self, vector: Value) -> Value:
        """(1,), the length of axis 2 of the vector."""
        return self._do("_plus_scalar", self._last(self._range(vector)), scalar=1)

    def _length(self, axis: int) -> Value:
        """(1,), the plane's height (axis 1) or width (axis 2)."""
        return self._emit.memoize(("length", self._plane, axis), lambda: self._count(self._plane_vector(axis)))

    def _last(self, vector: Value) -> Value:
        return self._do("slice_axis", vector, axis=0, begin=-1, end="None")

    def _integer(self, value: Value) -> Value:
        """The value as int32: products of sizes can exceed 2^24, beyond which float32 skips integers."""
        return self._do("Cast", value, dtype="int32")

    def _outer(self, op: str, high: Value, wide: Value) -> Value:
        """`op` on every pair of elements: (H,), (W,) -> (H, W)."""
        return self._do(op, self._do("Reshape", high, shape=(-1, 1)), self._do("Reshape", wide, shape=(1, -1)))

    def _do(self, op: str, *inputs: Value, **attributes: Any) -> Value:
        return self._emit(op, *inputs, suffix="index", **attributes)

    def _memoize(self, what: str, make: Callable[[], Value]) -> Value:
        """`Emitter.memoize` with a key for this plane size and geometry."""
        t, c = self._tiling, self._conv
        geometry = (c.kernel, c.stride, c.dilation, c.padding, c.reflect, c.transposed, c.output_padding, t.outputs)
        return self._emit.memoize((what, self._plane, geometry), make)


def _convolve_ones(
    emit: Emitter,
    x: Value,
    kernel: tuple[int, int],
    *,
    padding: tuple[int, int],
    suffix: str,
    stride: int = 1,
    dilation: int = 1,
    output_padding: int | None = None,
) -> Value:
    """x: (N, 1, H, W) convolved with ones, to get a tensor of the output's height and width.

    Args:
        output_padding: Of a transposed convolution; None for a plain one.
    """
    flat = [1 if size > 1 else 0 for size in kernel]
    attributes: dict[str, Any] = {
        "kernel": kernel,
        "pad": padding,
        "stride": [stride if side else 1 for side in flat],
        "dilate": [dilation if side else 1 for side in flat],
        "num_filter": 1,
        "no_bias": True,
    }
    ones = emit.constant("ones", np.ones((1, 1, *kernel), np.float32))
    if output_padding is None:
        return emit("Convolution", x, ones, suffix=suffix, **attributes)
    adj = [output_padding if side else 0 for side in flat]
    return emit("Deconvolution", x, ones, suffix=suffix, adj=adj, **attributes)
