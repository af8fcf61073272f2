"""Convolution whose weight is an input or is computed in the graph, as a matrix product of patches.

MXNet 1.9.1's Convolution and FullyConnected keep the weight of an executor's first run, in the layout that oneDNN
wants. With a weight that changes, every later run is wrong: by 7 to 97 % where it was measured. im2col, dot and
batch_dot keep nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from converters.targets.mxnet.ops.free_sizes import write_reshape
from converters.targets.mxnet.ops.registry import Emitter, Value
from converters.targets.mxnet.ops.shaping import permute
from converters.targets.mxnet.ops.windows import Windows, count_windows
from converters.targets.mxnet.sizes import Dim, multiply


def convolve_patches(emit: Emitter, x: Value, w: Value, b: Value | None, windows: Windows, group: int) -> Value:
    """The convolution of x by w, whatever gives w.

    Args:
        x: (N, C, H, W), or (N, C, L).
        w: (M, C / group, kH, kW), or (M, C / group, k).
        b: (M,) or None.
        windows: Where the kernel is laid; pads are symmetric.
        group: Groups of channels.

    Returns:
        (N, M, H', W'), or (N, M, L').
    """
    out, channels, *_ = emit.require_fixed_shape(w)
    batch, _, *sizes = emit.require_shape(x)
    if len(sizes) > 2:
        raise emit.refuse(
            "it is of volumes, and its weight is computed in the graph", "Export the weight as a constant"
        )
    counts = [count_windows(size, windows, axis) for axis, size in enumerate(sizes)]
    attributes: dict[str, Any] = {
        "kernel": windows.kernel,
        "stride": windows.strides,
        "dilate": windows.dilations,
        "pad": tuple(begin for begin, _ in windows.pads),
    }
    if len(sizes) == 1:
        x = write_reshape(emit, x, (*emit.require_shape(x)[:2], 1, sizes[0]))
        attributes = {name: (int(name != "pad"), *values) for name, values in attributes.items()}
    length, patch = multiply(counts), channels
    for side in windows.kernel:
        patch *= side
    patches = replace(emit("im2col", x, suffix="patches", **attributes), shape=(batch, group * patch, length))
    patches = write_reshape(emit, patches, (batch, group, patch, length))
    patches = write_reshape(emit, permute(emit, patches, (1, 2, 0, 3)), (group, patch, multiply([batch, length])))
    kernels = write_reshape(emit, w, (group, out // group, patch))
    sums = emit("batch_dot", kernels, patches, suffix="sums")
    sums = replace(sums, shape=(group, out // group, multiply([batch, length])))
    sums = write_reshape(emit, sums, (group, out // group, batch, length))
    shape: tuple[Dim, ...] = (batch, out, *counts)
    y = write_reshape(emit, permute(emit, sums, (2, 0, 1, 3)), shape)
    if b is None:
        return y
    offsets = emit.reshape(b, (1, -1, *[1] * len(sizes)), suffix="bias")
    return replace(emit("broadcast_add", y, offsets), shape=shape)
