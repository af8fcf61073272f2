"""Operators that put tensors together."""

from __future__ import annotations

from converters.mxnet_ops.registry import OPS, Emitter, Value


@OPS.op("Concat", since=4)
def concat(emit: Emitter, *tensors: Value, axis: int) -> Value:
    """Tensors of one rank, joined along `axis`."""
    rank = emit.require_rank(tensors[0])
    return emit("Concat", *tensors, num_args=len(tensors), dim=axis % rank)
