"""InstanceNormalization, as a NormalizationLayer over each channel's height and width."""

from __future__ import annotations

from converters.targets.wolfram.ops.registry import OPS, Emitter, Value


@OPS.op("InstanceNormalization", since=6)
def instance_normalization(emit: Emitter, x: Value, scale: Value, b: Value, *, epsilon: float = 1e-5) -> Value:
    """scale (x - m) / sqrt(v + epsilon) + b, with mean m and biased variance v per item and channel.

    By the page "NormalizationLayer", the layer takes mean and variance over the aggregation levels (here 2 ;; All:
    height and width) and applies "Scaling" and "Biases" along the remaining level (the channels). Its default
    "Epsilon" is 0.001, so ONNX's is always written; its default "Unbiased" is False, as in ONNX.
    """
    emit.require_plane(x)
    arrays = f'"Scaling" -> {emit.weights(scale, "scale")}, "Biases" -> {emit.weights(b, "bias")}'
    return emit(f'NormalizationLayer[2 ;; All, {arrays}, "Epsilon" -> {emit.number(epsilon, "epsilon")}]', x)
