"""Conv and ConvTranspose, 2-D. Weights go in unchanged: (out, in, h, w), and (in, out, h, w) for the transposed."""

from __future__ import annotations

from collections.abc import Sequence

from converters.mxnet_ops.registry import OPS, Emitter, Value


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
    """Conv(x: (N, C, H, W), w: (M, C/group, kH, kW), b: (M,)) -> (N, M, H', W')."""
    weights = emit.require_array(w, "weight")
    return emit(
        "Convolution",
        *_inputs(emit, x, w, b),
        num_filter=weights.shape[0],
        kernel=_kernel(emit, weights.shape, kernel_shape),
        stride=strides,
        pad=_symmetric(emit, pads, auto_pad),
        dilate=dilations,
        num_group=group,
        no_bias=b is None,
    )


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
    """ConvTranspose(x: (N, C, H, W), w: (C, M/group, kH, kW), b: (M,)) -> (N, M, H', W')."""
    weights = emit.require_array(w, "weight")
    return emit(
        "Deconvolution",
        *_inputs(emit, x, w, b),
        num_filter=weights.shape[1] * group,
        kernel=_kernel(emit, weights.shape, kernel_shape),
        stride=strides,
        pad=_symmetric(emit, pads, auto_pad),
        adj=output_padding,
        dilate=dilations,
        num_group=group,
        no_bias=b is None,  # stated: Deconvolution's default is True
    )


def _inputs(emit: Emitter, x: Value, w: Value, b: Value | None) -> list[Value]:
    if emit.require_rank(x) != 4:
        raise emit.refuse(f"its input has rank {x.rank}", "Only 2-D convolutions (NCHW) are translated")
    return [x, w] if b is None else [x, w, b]


def _kernel(emit: Emitter, shape: tuple[int, ...], stated: Sequence[int] | None) -> tuple[int, ...]:
    if stated is not None and tuple(stated) != shape[2:]:
        raise emit.refuse(f"kernel_shape is {tuple(stated)}, the weight's {shape[2:]}", "Check the model")
    return shape[2:]


def _symmetric(emit: Emitter, pads: Sequence[int], auto_pad: str) -> Sequence[int]:
    """(top, left) where it equals (bottom, right)."""
    if auto_pad == "VALID":
        return (0, 0)
    if auto_pad != "NOTSET":
        raise emit.refuse(f"auto_pad is {auto_pad}", "Export with explicit pads")
    if list(pads[:2]) != list(pads[2:]):
        raise emit.refuse(f"its pads {tuple(pads)} are not symmetric", "Put a Pad before it")
    return pads[:2]
