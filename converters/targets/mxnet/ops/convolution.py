"""Conv and ConvTranspose with one to three spatial axes.

MXNet's weights have ONNX's layout: (out, in, ...), and (in, out, ...) for ConvTranspose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from converters.targets.mxnet.ops.padding import write_pad
from converters.targets.mxnet.ops.patches import convolve_patches
from converters.targets.mxnet.ops.registry import OPS, Emitter, Value
from converters.targets.mxnet.ops.slicing import slice_axis
from converters.targets.mxnet.ops.windows import SAME_PADS, Windows, count_windows, read_windows, split_padding


@OPS.op("Conv", since=1)
def conv(
    emit: Emitter,
    x: Value,
    w: Value,
    b: Value | None = None,
    *,
    kernel_shape: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    auto_pad: str = "NOTSET",
) -> Value:
    """Conv(x: (N, C, D...), w: (M, C/group, k...), b: (M,)) -> (N, M, D'...)."""
    shape = _weight_shape(emit, x, w, kernel_shape)
    windows = read_windows(emit, x, shape[2:], strides, pads, dilations, auto_pad)
    if not windows.symmetric:
        x = write_pad(emit, x, [(0, 0), (0, 0), *windows.pads])
        windows = replace(windows, pads=((0, 0),) * len(windows.pads))
    inputs = _inputs(emit, x, w, b)
    if w.array is None:
        wide, weight, *bias = inputs
        return emit.cast(convolve_patches(emit, wide, weight, bias[0] if bias else None, windows, group), x.dtype)
    y = emit(
        "Convolution",
        *inputs,
        num_filter=shape[0],
        **_describe(windows),
        num_group=group,
        no_bias=b is None,
    )
    batch, _, *sizes = emit.require_shape(x)
    counts = [count_windows(size, windows, axis) for axis, size in enumerate(sizes)]
    return emit.cast(replace(y, shape=(batch, shape[0], *counts)), x.dtype)


@OPS.op("ConvTranspose", since=1)
def conv_transpose(
    emit: Emitter,
    x: Value,
    w: Value,
    b: Value | None = None,
    *,
    kernel_shape: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    group: int = 1,
    auto_pad: str = "NOTSET",
) -> Value:
    """ConvTranspose(x: (N, C, D...), w: (C, M/group, k...), b: (M,)) -> (N, M, D'...)."""
    shape = _weight_shape(emit, x, w, kernel_shape)
    axes = len(shape) - 2
    extra = tuple(output_padding or [0] * axes)
    fitted = output_shape is not None or auto_pad in SAME_PADS
    explicit = "NOTSET" if fitted else auto_pad
    windows = read_windows(emit, x, shape[2:], strides, pads, dilations, explicit, transposed=True)
    if fitted:
        windows = _fit_output(emit, x, windows, output_shape, extra, auto_pad)
    if any(size >= stride for size, stride in zip(extra, windows.strides, strict=True)):
        raise emit.refuse(f"output_padding {extra} is not below the strides {windows.strides}", "Export without it")
    if axes == 3 and any(step != 1 for step in windows.dilations):
        raise emit.refuse(f"its dilations are {windows.dilations}", "MXNet spreads no transposed kernels of volumes")
    # MXNet crops both ends of an axis equally, by `inner`. Afterwards `rest` is cut off, or padded if negative.
    inner = tuple(max(min(pair), 0) for pair in windows.pads)
    y = emit(
        "Deconvolution",
        *_inputs(emit, x, w, b),
        num_filter=shape[1] * group,
        **_describe(replace(windows, pads=tuple((size, size) for size in inner)), adj=extra),
        num_group=group,
        no_bias=b is None,  # stated: Deconvolution's default is True
    )
    rest = [(begin - size, end - size) for (begin, end), size in zip(windows.pads, inner, strict=True)]
    sizes = [
        (size - 1) * windows.strides[axis] + windows.reach(axis) + extra[axis] - 2 * inner[axis]
        for axis, size in enumerate(emit.require_shape(x)[2:])
    ]
    y = emit.cast(replace(y, shape=(emit.require_shape(x)[0], shape[1] * group, *sizes)), x.dtype)
    if b is not None and any(size < 0 for pair in rest for size in pair):
        raise emit.refuse(
            "its output_shape is larger than its kernel reaches, and it has a bias", "Add the bias after it"
        )
    for axis, (begin, end) in enumerate(rest):
        if begin > 0 or end > 0:
            y = slice_axis(emit, y, 2 + axis, max(begin, 0), -end if end > 0 else 2**63 - 1)
    return write_pad(emit, y, [(0, 0), (0, 0), *((max(-begin, 0), max(-end, 0)) for begin, end in rest)])


def _fit_output(
    emit: Emitter,
    x: Value,
    windows: Windows,
    output_shape: Sequence[int] | None,
    output_padding: Sequence[int],
    auto_pad: str,
) -> Windows:
    """The windows of a ConvTranspose with the pads that give the wanted output size.

    Args:
        output_shape: Wanted sizes of the spatial axes, perhaps after N and C; None for input size times stride.
    """
    pairs = []
    for axis, stride in enumerate(windows.strides):
        beyond_stride = output_padding[axis] + windows.reach(axis) - stride  # whatever the input's size
        total = beyond_stride
        if output_shape is not None:
            wanted = output_shape[axis - len(output_padding)]
            total += stride * emit.require_fixed_size(x, 2 + axis) - wanted
        if total < 0 and output_shape is None:
            met = f"its kernel reaches less far than its stride along axis {2 + axis}: ONNX and ONNX Runtime differ"
            raise emit.refuse(met, "Export with explicit pads")
        pairs.append(split_padding(total, auto_pad))
    return replace(windows, pads=tuple(pairs))


def _weight_shape(emit: Emitter, x: Value, w: Value, kernel_shape: Sequence[int] | None) -> tuple[int, ...]:
    """The weight's shape, after a check that x and the attribute `kernel_shape` fit it."""
    shape = emit.require_fixed_shape(w)
    if emit.require_rank(x) != len(shape) or len(shape) not in (3, 4, 5):
        raise emit.refuse(
            f"its input has rank {x.rank}", "Only convolutions of rows, planes and volumes are translated"
        )
    if kernel_shape is not None and tuple(kernel_shape) != shape[2:]:
        raise emit.refuse(f"kernel_shape is {tuple(kernel_shape)}, the weight's {shape[2:]}", "Check the model")
    return shape


def _inputs(emit: Emitter, x: Value, w: Value, b: Value | None) -> list[Value]:
    """The inputs of MXNet's operator; float16 is computed as float32."""
    inputs = [x, w] if b is None else [x, w, b]
    return [emit.cast(value, "float32") if value.dtype == "float16" else value for value in inputs]


def _describe(windows: Windows, **more: Any) -> dict[str, Any]:
    """Attributes of MXNet's operator for symmetric windows."""
    return {
        "kernel": windows.kernel,
        "stride": windows.strides,
        "pad": tuple(begin for begin, _ in windows.pads),
        **more,
        "dilate": windows.dilations,
    }
