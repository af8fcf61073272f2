"""Pad of a plane (NCHW)."""

from __future__ import annotations

from converters.targets.wolfram.ops.registry import OPS, Emitter, Value
from converters.targets.wolfram.syntax import format_list

# The page "Padding": "Reflected" does not repeat the outermost elements, "Reversed" would; "Fixed" repeats them only.
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
    """Pad(data, pads: (2 len(axes),) all beginnings, then all ends) -> data, enlarged."""
    rank = len(emit.require_plane(data))
    if mode != "constant" and mode not in MODES:
        raise emit.refuse(f"its mode is '{mode}'", f"PaddingLayer pads by constant, {', '.join(MODES)} only")
    amounts = [int(amount) for amount in emit.require_array(pads, "pads")]
    padded = list(range(rank)) if axes is None else [int(axis) % rank for axis in emit.require_array(axes, "axes")]
    width = [[0, 0] for _ in range(rank)]
    for index, axis in enumerate(padded):
        width[axis] = [amounts[index], amounts[index + len(padded)]]
    if min(amounts) < 0:
        raise emit.refuse(f"its pads {amounts} are negative", "Crop with Slice")
    if any(width[0]):
        raise emit.refuse(f"its pads {amounts} enlarge the batch", "A NetGraph has no batch axis: pad the others")
    value = 0.0 if constant_value is None else float(emit.require_array(constant_value, "constant").reshape(()))
    padding = MODES.get(mode) or emit.number(value, "constant")
    return emit(f"PaddingLayer[{format_list(width[1:])}, Padding -> {padding}]", data)
