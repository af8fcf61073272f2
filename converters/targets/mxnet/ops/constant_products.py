"""Matrix products with constants, as convolutions, which oneDNN computes.

`dot` and `batch_dot` go to OpenBLAS, whose threads wait for each other several times in every product: small ones take
longer on two threads than on one. oneDNN shares whole products out among its threads.

For constants only: MXNet 1.9.1's Convolution keeps the weight of an executor's first run (`patches`). A weight that
follows from the shapes of the inputs is as good as a constant, as an executor has one shape.
"""

from __future__ import annotations

import numpy as np

from converters.targets.mxnet.ops.registry import Emitter, Value
from converters.tensors import Array

# oneDNN computes a 1x1 convolution of a multiple of 8 filters in a blocked layout. With as few channels as a transform
# of tiles has, bringing the tensors into that layout and back takes three times as long as the product itself.
BLOCK = 8


def count_rows(rows: int) -> int:
    """How many rows `transform` gives for each group, if its matrices have `rows`."""
    return rows + 1 if rows % BLOCK == 0 else rows


def transform(emit: Emitter, x: Value, matrices: Array, suffix: str) -> Value:
    """Multiply each group of planes of x by a matrix of its own.

    Args:
        x: (1, groups * columns, H, W).
        matrices: (groups, rows, columns) float32.

    Returns:
        (1, groups * count_rows(rows), H, W). Where `count_rows` adds a row to a group, it holds zeros.
    """
    groups, rows, columns = matrices.shape
    padded = np.zeros((groups, count_rows(rows), columns), np.float32)
    padded[:, :rows] = matrices
    return emit(
        "Convolution",
        x,
        emit.constant(f"{suffix}_matrix", padded.reshape(-1, columns, 1, 1)),
        suffix=suffix,
        num_filter=groups * count_rows(rows),
        num_group=groups,
        kernel=(1, 1),
        no_bias=True,
    )


def multiply_each(emit: Emitter, x: Value, weights: Array, suffix: str) -> Value:
    """Multiply each matrix of x by a weight of its own: a convolution in groups, its kernel as high as the matrix.

    Args:
        x: (1, count, in, M).
        weights: (count, in, out) float32.

    Returns:
        (1, count, out, M).
    """
    count, given, out = weights.shape
    kernels = np.ascontiguousarray(weights.swapaxes(1, 2)).reshape(count * out, 1, given, 1)
    products = emit(
        "Convolution",
        x,
        emit.constant(f"{suffix}_weight", kernels),
        suffix=suffix,
        num_filter=count * out,
        num_group=count,
        kernel=(given, 1),
        no_bias=True,
    )
    return emit("Reshape", products, suffix=f"{suffix}_split", shape=(0, -4, count, out, -3))
