"""2-D Conv and ConvTranspose. Weights stay as in ONNX: Conv (out, in, kH, kW), ConvTranspose (in, out, kH, kW)."""

from __future__ import annotations

from collections.abc import Sequence

from converters.targets.wolfram.ops.registry import OPS, Emitter, Value
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
    """Conv(x: (N, C, H, W), w: (M, C, kH, kW), b: (M,)) -> (N, M, H', W')."""
    channels, kernel = _read_kernel(emit, x, w, kernel_shape, group, out_axis=0)
    options = {
        "Stride": format_list(strides),
        "PaddingSize": format_list(_require_symmetric(emit, pads, auto_pad)),
        "Dilation": format_list(dilations),
    }
    return _emit_layer(emit, f"ConvolutionLayer[{channels}, {kernel}", x, w, b, options)


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
    """ConvTranspose(x: (N, C, H, W), w: (C, M, kH, kW), b: (M,)) -> (N, M, H', W')."""
    channels, kernel = _read_kernel(emit, x, w, kernel_shape, group, out_axis=1)
    if any(output_padding):
        raise emit.refuse(f"its output_padding is {tuple(output_padding)}", "DeconvolutionLayer only takes away: use 0")
    options = {
        "Stride": format_list(strides),
        # The page "DeconvolutionLayer": "PaddingSize" is what to remove from each side of the output, like ONNX's pads.
        "PaddingSize": format_list(_require_symmetric(emit, pads, auto_pad)),
    }
    if tuple(dilations) != (1, 1):  # older versions of the layer lack "Dilation": write it only where it is needed
        options["Dilation"] = format_list(dilations)
    return _emit_layer(emit, f"DeconvolutionLayer[{channels}, {kernel}", x, w, b, options)


def _emit_layer(emit: Emitter, head: str, x: Value, w: Value, b: Value | None, options: dict[str, str]) -> Value:
    """Add the layer `HEAD, weights, biases, options]`; `head` is its text up to the kernel size."""
    arrays = {"Weights": emit.weights(w, "weight"), "Biases": "None" if b is None else emit.weights(b, "bias")}
    texts = [f'"{name}" -> {value}' for name, value in {**arrays, **options}.items()]
    return emit(f"{', '.join([head, *texts])}]", x)


def _read_kernel(
    emit: Emitter, x: Value, w: Value, kernel_shape: Sequence[int] | None, group: int, *, out_axis: int
) -> tuple[int, str]:
    """The number of output channels (the weight's axis `out_axis`) and the list literal of the kernel size.

    Raises:
        UnsupportedOpError: the convolution is grouped, or `kernel_shape` contradicts the weight.
    """
    emit.require_plane(x)
    shape = emit.require_array(w, "weight").shape
    if group != 1:
        raise emit.refuse(f"it has {group} groups", "Only convolutions of one group are translated")
    if kernel_shape is not None and tuple(kernel_shape) != shape[2:]:
        raise emit.refuse(f"kernel_shape is {tuple(kernel_shape)}, the weight's {shape[2:]}", "Check the model")
    return shape[out_axis], format_list(shape[2:])


def _require_symmetric(emit: Emitter, pads: Sequence[int], auto_pad: str) -> Sequence[int]:
    """The pads (top, left), which must equal (bottom, right): a layer has one padding per axis.

    Args:
        pads: (top, left, bottom, right).
    """
    if auto_pad == "VALID":
        return (0, 0)
    if auto_pad != "NOTSET":
        raise emit.refuse(f"auto_pad is {auto_pad}", "Export with explicit pads")
    if list(pads[:2]) != list(pads[2:]):
        raise emit.refuse(f"its pads {tuple(pads)} are not symmetric", "Put a Pad before it")
    return pads[:2]
