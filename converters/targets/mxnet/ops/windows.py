"""The windows of convolutions and pools, read from the attributes that these operators share in ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.targets.mxnet.ops.registry import Emitter, Value
from converters.targets.mxnet.sizes import Dim

SAME_PADS = ("SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True)
class Windows:
    """Windows of a convolution or pool; each attribute has one entry for each spatial axis (1 to 3).

    Attributes:
        kernel: Number of elements of a window.
        strides: Distance between the beginnings of two windows.
        dilations: Distance between two elements of a window.
        pads: Padding before the first and after the last element of the axis.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]

    @property
    def symmetric(self) -> bool:
        """Whether each axis has equal padding at both ends."""
        return all(begin == end for begin, end in self.pads)

    def reach(self, axis: int) -> int:
        """Extent of the dilated kernel along an axis, from the first to the last element of a window."""
        return self.dilations[axis] * (self.kernel[axis] - 1) + 1


def read_windows(
    emit: Emitter,
    x: Value,
    kernel: Sequence[int],
    strides: Sequence[int] | None,
    pads: Sequence[int] | None,
    dilations: Sequence[int] | None,
    auto_pad: str,
    *,
    transposed: bool = False,
) -> Windows:
    """The windows of a node.

    Args:
        x: (N, C, D...), the node's input.
        kernel: Size of the windows along each spatial axis.
        strides: ONNX's attribute, None if left out. Likewise the next three.
        transposed: Whether the windows lie on the node's output, not on x.

    Raises:
        UnsupportedOpError: automatic pads depend on a free size, or x has another rank, or an axis of it is shorter
            than a window.
    """
    axes = len(kernel)
    if emit.require_rank(x) != axes + 2:
        raise emit.refuse(f"its input has rank {x.rank} and its windows {axes} axes", "Check the model")
    strides = tuple(strides or [1] * axes)
    dilations = tuple(dilations or [1] * axes)
    amounts = list(pads or [0] * (2 * axes))
    pairs = [(amounts[axis], amounts[axis + axes]) for axis in range(axes)]
    if auto_pad in SAME_PADS:
        pairs = []
        for axis in range(axes):
            reach = dilations[axis] * (kernel[axis] - 1) + 1
            total = _same_padding(emit, x, axis, strides[axis], reach)
            pairs.append(split_padding(total, auto_pad))
    elif auto_pad == "VALID":
        pairs = [(0, 0)] * axes
    elif auto_pad != "NOTSET":
        raise emit.refuse(f"auto_pad is {auto_pad}", "Export with explicit pads")
    windows = Windows(tuple(kernel), strides, dilations, tuple(pairs))
    for axis, size in enumerate(emit.require_shape(x)[2:]):
        if not transposed and isinstance(size, int) and size + sum(pairs[axis]) < windows.reach(axis):
            raise emit.refuse(f"its windows are larger than axis {2 + axis} of its input", "Check the model")
    return windows


def count_windows(size: Dim, windows: Windows, axis: int) -> Dim:
    """Number of windows along an axis with `size` elements."""
    room = size + sum(windows.pads[axis]) - windows.reach(axis)
    return room // windows.strides[axis] + 1


def split_padding(total: int, auto_pad: str) -> tuple[int, int]:
    """The padding at the beginning and end of an axis.

    The larger half of an odd `total` is at the end for SAME_UPPER, else at the beginning.
    """
    less, more = total // 2, total - total // 2
    return (less, more) if auto_pad == "SAME_UPPER" else (more, less)


def _same_padding(emit: Emitter, x: Value, axis: int, stride: int, reach: int) -> int:
    """Total padding of a spatial axis of x with which it has ceil(size / stride) windows.

    With stride 1 the size does not matter and may be free.
    """
    if stride == 1:
        return reach - 1
    length = emit.require_fixed_size(x, 2 + axis)
    return max((-(-length // stride) - 1) * stride + reach - length, 0)
