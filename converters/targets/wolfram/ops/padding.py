"""Pad of an NCHW tensor."""

from __future__ import annotations

from converters.targets.wolfram.ops.registry import OPS, Emitter, Value
from converters.targets.wolfram.syntax import format_list

# ONNX mode to the value of the option Padding. The page "Padding": "Reflected" mirrors without repeating the outermost
# element ("Reversed" would repeat it), "Fixed" repeats the outermost element.
MODES = {"reflect": '"Reflected"', "edge": '"Fixed"'}


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
    """Pad(data, pads: (2 len(axes),), all begins, then all ends) -> the enlarged tensor.

    A PaddingLayer takes (begin, end) for each axis but the batch.
    """
    rank = len(emit.require_plane(data))
    if mode != "constant" and mode not in MODES:
        raise emit.refuse(f"its mode is '{mode}'", f"PaddingLayer pads by constant, {', '.join(MODES)} only")
    amounts = [int(amount) for amount in emit.require_array(pads, "pads")]
    padded = list(range(rank)) if axes is None else [int(axis) % rank for axis in emit.require_array(axes, "axes")]
    widths = [[0, 0] for _ in range(rank)]
    for index, axis in enumerate(padded):
        widths[axis] = [amounts[index], amounts[index + len(padded)]]
    if min(amounts) < 0:
        raise emit.refuse(f"its pads {amounts} are negative", "Crop with Slice")
    if any(widths[0]):
        raise emit.refuse(f"its pads {amounts} enlarge the batch", "A NetGraph has no batch axis: pad the others")
    value = 0.0 if constant_value is None else float(emit.require_array(constant_value, "constant").reshape(()))
    padding = MODES.get(mode) or emit.number(value, "constant")
    return emit(f"PaddingLayer[{format_list(widths[1:])}, Padding -> {padding}]", data)
