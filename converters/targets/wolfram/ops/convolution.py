"""2-D Conv and ConvTranspose. Weights stay as in ONNX: Conv (out, in, kH, kW), ConvTranspose (in, out, kH, kW)."""

from __future__ import annotations

from collections.abc import Sequence

from converters.targets.wolfram.ops.registry import GROUPS_VERSION, OPS, Emitter, Value
from converters.targets.wolfram.syntax import format_list


@OPS.op("Conv", since=1)
def conv(
    emit: Emitter,
    x: Value,
    w: Value,
    b: Value | None = None,
    *,
    kernel_shape: Sequence[int] | None = None,
    strides: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1),
    group: int = 1,
    auto_pad: str = "NOTSET",
) -> Value:
    """Conv(x: (N, C, H, W), w: (M, C / group, kH, kW), b: (M,)) -> (N, M, H', W').

    A layer has one padding per axis, by its old page; sides that differ are padded by a PaddingLayer.
    """
    channels, kernel = _read_kernel(emit, x, w, kernel_shape, out_axis=0)
    top, left, bottom, right = _read_pads(emit, pads, auto_pad)
    options = {"Stride": format_list(strides)}
    before = []
    if (top, left) == (bottom, right):
        options["PaddingSize"] = format_list((top, left))
    else:
        before = [f"PaddingLayer[{format_list(([0, 0], [top, bottom], [left, right]))}, Padding -> 0.]"]
    options["Dilation"] = format_list(dilations)
    layer = _format_layer(emit, f"ConvolutionLayer[{channels}, {kernel}", w, b, group, options)
    return emit.chain([*before, layer], x)


@OPS.op("ConvTranspose", since=1)
def conv_transpose(
    emit: Emitter,
    x: Value,
    w: Value,
    b: Value | None = None,
    *,
    kernel_shape: Sequence[int] | None = None,
    strides: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1),
    output_padding: Sequence[int] = (0, 0),
    group: int = 1,
    auto_pad: str = "NOTSET",
) -> Value:
    """ConvTranspose(x: (N, C, H, W), w: (C, M / group, kH, kW), b: (M,)) -> (N, M, H', W').

    The page "DeconvolutionLayer": "PaddingSize" is what to remove from each side of the output, like ONNX's pads. What
    output_padding adds at the bottom and the right is removed there the less. The old page knows one number per axis;
    sides that differ are cut off by a PartLayer.
    """
    kernels, kernel = _read_kernel(emit, x, w, kernel_shape, out_axis=1)
    top, left, bottom, right = _read_pads(emit, pads, auto_pad)
    below, beside = bottom - output_padding[0], right - output_padding[1]
    if min(below, beside) < 0:
        raise emit.refuse(
            f"its output_padding is {tuple(output_padding)}, its pads {tuple(pads)}",
            "DeconvolutionLayer only takes away: pad as much or more",
        )
    options = {"Stride": format_list(strides)}
    after = []
    if (top, left) == (below, beside):
        options["PaddingSize"] = format_list((top, left))
    else:
        after = [f"PartLayer[{{All, {top + 1} ;; {-1 - below}, {left + 1} ;; {-1 - beside}}}]"]
    if tuple(dilations) != (1, 1):  # older versions of the layer lack "Dilation": write it only where it is needed
        options["Dilation"] = format_list(dilations)
    layer = _format_layer(emit, f"DeconvolutionLayer[{kernels * group}, {kernel}", w, b, group, options)
    return emit.chain([layer, *after], x)


def _format_layer(emit: Emitter, head: str, w: Value, b: Value | None, group: int, options: dict[str, str]) -> str:
    """The text of the layer `HEAD, weights, biases, options]`; `head` is its text up to the kernel size."""
    arrays = {"Weights": emit.weights(w, "weight"), "Biases": "None" if b is None else emit.weights(b, "bias")}
    if group > 1:
        emit.require_version(GROUPS_VERSION)
        options["ChannelGroups"] = str(group)
    texts = [f'"{name}" -> {value}' for name, value in {**arrays, **options}.items()]
    return f"{', '.join([head, *texts])}]"


def _read_kernel(
    emit: Emitter, x: Value, w: Value, kernel_shape: Sequence[int] | None, *, out_axis: int
) -> tuple[int, str]:
    """The length of the weight's axis `out_axis`, and the list literal of the kernel size.

    Raises:
        UnsupportedOpError: `kernel_shape` contradicts the weight.
    """
    emit.require_plane(x)
    shape = emit.require_array(w, "weight").shape
    if kernel_shape is not None and tuple(kernel_shape) != shape[2:]:
        raise emit.refuse(f"kernel_shape is {tuple(kernel_shape)}, the weight's {shape[2:]}", "Check the model")
    return shape[out_axis], format_list(shape[2:])


def _read_pads(emit: Emitter, pads: Sequence[int], auto_pad: str) -> Sequence[int]:
    """The pads (top, left, bottom, right)."""
    if auto_pad == "VALID":
        return (0, 0, 0, 0)
    if auto_pad != "NOTSET":
        raise emit.refuse(f"auto_pad is {auto_pad}", "Export with explicit pads")
    return pads
