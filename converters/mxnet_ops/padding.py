"""Pad of a plane (NCHW) or a volume (NCDHW)."""

from __future__ import annotations

from converters.mxnet_ops.registry import OPS, Emitter, Value

MODES = {"constant": "constant", "reflect": "reflect", "edge": "edge"}


@OPS.op("Pad", since=11)
def pad(
    emit: Emitter,
    data: Value,
    pads: Value,
    constant_value: Value | None = None,
    axes: Value | None = None,
    *,
    mode: str = "constant",
) -> Value:
    """Pad(data, pads: (2 len(axes),) all beginnings, then all ends) -> data, enlarged."""
    rank = emit.require_rank(data)
    if rank not in (4, 5):
        raise emit.refuse(f"its input has rank {rank}", "MXNet pads ranks 4 and 5 only")
    if mode not in MODES:
        raise emit.refuse(f"its mode is '{mode}'", f"MXNet pads by {', '.join(MODES)} only")
    amounts = [int(amount) for amount in emit.require_array(pads, "pads")]
    padded = list(range(rank)) if axes is None else [int(axis) % rank for axis in emit.require_array(axes, "axes")]
    width = [0] * (2 * rank)
    for index, axis in enumerate(padded):
        width[2 * axis], width[2 * axis + 1] = amounts[index], amounts[index + len(padded)]
    if min(width) < 0:
        raise emit.refuse(f"its pads {amounts} are negative", "Crop with Slice")
    if any(width[:4]):
        raise emit.refuse(f"its pads {amounts} enlarge the batch or the channels", "MXNet pads the plane only")
    value = 0.0 if constant_value is None else float(emit.require_array(constant_value, "constant").reshape(()))
    return emit("Pad", data, mode=MODES[mode], pad_width=width, constant_value=value)
