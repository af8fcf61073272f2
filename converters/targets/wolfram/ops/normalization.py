"""InstanceNormalization, which a NormalizationLayer over each channel's plane is."""

from __future__ import annotations

from converters.targets.wolfram.ops.registry import OPS, Emitter, Value


@OPS.op("InstanceNormalization", since=6)
def instance_normalization(emit: Emitter, x: Value, scale: Value, b: Value, *, epsilon: float = 1e-5) -> Value:
    """scale (x - m) / sqrt(v + epsilon) + b; m and the biased variance v per item and channel.

    By the page "NormalizationLayer" it takes statistics over the aggregation levels, 2 ;; All being the plane, and
    scales the other one; its own "Epsilon" is 0.001, and "Unbiased" False.
    """
    emit.require_plane(x)
    arrays = f'"Scaling" -> {emit.weights(scale, "scale")}, "Biases" -> {emit.weights(b, "bias")}'
    return emit(f'NormalizationLayer[2 ;; All, {arrays}, "Epsilon" -> {emit.number(epsilon, "epsilon")}]', x)
