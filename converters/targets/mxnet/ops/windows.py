"""Where the windows of convolutions and pools lie: ONNX's attributes for it, read once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.targets.mxnet.ops.registry import Emitter, Value
from converters.targets.mxnet.sizes import Dim

SAME_PADS = ("SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True)
class Windows:
    """Windows along each axis of a plane, row or volume.

    Attributes:
        kernel: Their size.
        strides: How far apart they begin.
        dilations: How far apart their elements are.
        pads: Begin and end of what is added to each axis.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]

    @property
    def symmetric(self) -> bool:
        """Whether each axis gets as much at its beginning as at its end."""
        return all(begin == end for begin, end in self.pads)

    def reach(self, axis: int) -> int:
        """Elements from the first to the last of a window."""
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
    """The windows of a node on x: (N, C, ...); if `transposed`, on what it makes of x.

    Raises:
        UnsupportedOpError: automatic pads depend on a free size, or x has no such axes, or too short ones.
    """
    axes = len(kernel)
    if emit.require_rank(x) != axes + 2:
        raise emit.refuse(f"its input has rank {x.rank} and its windows {axes} axes", "Check the model")
    steps = tuple(strides or [1] * axes)
    spread = tuple(dilations or [1] * axes)
    amounts = list(pads or [0] * (2 * axes))
    pairs = [(amounts[axis], amounts[axis + axes]) for axis in range(axes)]
    if auto_pad in SAME_PADS:
        shape = emit.require_shape(x)
        pairs = []
        for axis in range(axes):
            reach = spread[axis] * (kernel[axis] - 1) + 1
            total = _same_padding(emit, x, shape[2 + axis], axis, steps[axis], reach)
            less, more = total // 2, total - total // 2
            pairs.append((less, more) if auto_pad == "SAME_UPPER" else (more, less))
    elif auto_pad == "VALID":
        pairs = [(0, 0)] * axes
    elif auto_pad != "NOTSET":
        raise emit.refuse(f"auto_pad is {auto_pad}", "Export with explicit pads")
    windows = Windows(tuple(kernel), steps, spread, tuple(pairs))
    for axis, size in enumerate(emit.require_shape(x)[2:]):
        if not transposed and isinstance(size, int) and size + sum(pairs[axis]) < windows.reach(axis):
            raise emit.refuse(f"its windows are larger than axis {2 + axis} of its input", "Check the model")
    return windows


def count_windows(size: Dim, windows: Windows, axis: int) -> Dim:
    """How many windows an axis of that size has."""
    room = size + sum(windows.pads[axis]) - windows.reach(axis)
    return room // windows.strides[axis] + 1


def _same_padding(emit: Emitter, x: Value, size: Dim, axis: int, stride: int, reach: int) -> int:
    """How much an axis needs so that there are as many windows as strides in it."""
    if stride == 1:
        return reach - 1
    length = emit.require_fixed_size(x, 2 + axis) if not isinstance(size, int) else size
    return max((-(-length // stride) - 1) * stride + reach - length, 0)
