"""Operators that move elements and change none."""

from __future__ import annotations

from collections.abc import Sequence

from converters.mxnet_ops.registry import OPS, Emitter, Value


@OPS.op("Transpose", since=1)
def transpose(emit: Emitter, data: Value, *, perm: Sequence[int] | None = None) -> Value:
    """Transpose(data) -> data, axis i of it being axis perm[i] of data; all reversed without perm."""
    axes = tuple(reversed(range(emit.require_rank(data)))) if perm is None else tuple(perm)
    return emit("transpose", data, axes=axes)
