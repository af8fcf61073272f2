"""Concat."""

from __future__ import annotations

from converters.targets.wolfram.ops.registry import OPS, Emitter, Value


@OPS.op("Concat", since=4)
def concat(emit: Emitter, *tensors: Value, axis: int) -> Value:
    """Concat(tensors of equal rank, axis); a CatenateLayer's level is the axis counted without the batch."""
    rank = emit.require_rank(tensors[0])
    level = axis % rank
    if level == 0:
        raise emit.refuse("it joins batches", "A NetGraph has no batch axis: join channels or the plane")
    if len(tensors) == 1:
        raise emit.refuse("it joins one tensor", "Leave it out")
    return emit(f"CatenateLayer[{level}]", *tensors)
