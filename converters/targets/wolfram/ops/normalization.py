"""InstanceNormalization, as a NormalizationLayer over each channel's height and width, and BatchNormalization."""

from __future__ import annotations

import numpy as np

from converters.targets.wolfram.ops.registry import OPS, Emitter, Value


@OPS.op("InstanceNormalization", since=6)
def instance_normalization(emit: Emitter, x: Value, scale: Value, b: Value, *, epsilon: float = 1e-5) -> Value:
    """scale (x - m) / sqrt(v + epsilon) + b, with mean m and biased variance v per item and channel.

    By the page "NormalizationLayer", the layer takes mean and variance over the aggregation levels (here 2 ;; All:
    height and width) and applies "Scaling" and "Biases" along the remaining level (the channels). Its default
    "Epsilon" is 0.001, so ONNX's is always written; its default "Unbiased" is False, as in ONNX. The package's own
    normalizationLayer makes the layer that the kernel's version has.
    """
    emit.require_plane(x)
    arrays = f'"Scaling" -> {emit.weights(scale, "scale")}, "Biases" -> {emit.weights(b, "bias")}'
    return emit(f'normalizationLayer[{arrays}, "Epsilon" -> {emit.number(epsilon, "epsilon")}]', x)


@OPS.op("BatchNormalization", since=15)
def batch_normalization(
    emit: Emitter,
    x: Value,
    scale: Value,
    b: Value,
    mean: Value,
    variance: Value,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Value:
    """scale (x - mean) / sqrt(variance + epsilon) + b, all but x constants: folded into a factor and an offset."""
    emit.require_plane(x)
    if training_mode:
        raise emit.refuse("it is in training mode", "Export it in eval mode")
    arrays = [
        emit.require_array(value, role).astype(np.float64)
        for value, role in ((scale, "scale"), (b, "bias"), (mean, "mean"), (variance, "variance"))
    ]
    factor = arrays[0] / np.sqrt(arrays[3] + epsilon)
    return emit.scale_channels(x, factor, arrays[1] - arrays[2] * factor)
