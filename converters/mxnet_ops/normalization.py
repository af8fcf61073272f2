"""InstanceNormalization as two-pass statistics.

MXNet's own InstanceNorm adds up a whole plane in one float32 sum and loses two to three digits on large flat holes.
"""

from __future__ import annotations

import numpy as np

from converters.mxnet_ops.registry import OPS, Emitter, Value


@OPS.op("InstanceNormalization", since=6)
def instance_normalization(emit: Emitter, x: Value, scale: Value, b: Value, *, epsilon: float = 1e-5) -> Value:
    """scale (x - m) / sqrt(v + epsilon) + b; m and the biased variance v per item and channel, axis by axis."""
    rank = emit.require_rank(x)
    factors, offsets = emit.require_array(scale, "scale"), emit.require_array(b, "bias")
    per_channel = (1, -1, *[1] * (rank - 2))

    def mean_over_plane(value: Value, step: str) -> Value:
        for axis in range(rank - 1, 1, -1):
            value = emit("mean", value, step=f"{step}_{axis}", axis=axis, keepdims=True)
        return value

    centred = emit("broadcast_sub", x, mean_over_plane(x, "mean"), step="centred")
    variance = mean_over_plane(emit("square", centred, step="squared"), "variance")
    shifted = emit("_plus_scalar", variance, step="shifted", scalar=epsilon)
    operations = [("broadcast_mul", emit("rsqrt", shifted, step="rsqrt"), "normalized")]
    if np.any(factors != 1):
        operations.append(("broadcast_mul", emit.constant("scale", factors.reshape(per_channel)), "scaled"))
    if np.any(offsets != 0):
        operations.append(("broadcast_add", emit.constant("bias", offsets.reshape(per_channel)), "biased"))
    *earlier, (last, operand, _) = operations
    y = centred
    for op, value, step in earlier:
        y = emit(op, y, value, step=step)
    return emit(last, y, operand)
