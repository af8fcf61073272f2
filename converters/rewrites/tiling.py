"""How a convolution is cut into tiles that are computed with few multiplications.

One axis of it, with s the stride, d the dilation, r the kernel and m the outputs of a tile (`cook_toom` has F):

- A convolution of stride 1 and dilation d is d convolutions of dilation 1, one for every output o with the same
  o mod d: y_(d v + e) = sum_k x_(d (v + k) + e) w_k. Each is cut into tiles of F(m, r).
- A convolution of stride s is the sum of s convolutions of stride 1, on the s lanes of its input:
  y_o = sum_q sum_a x_(s (o + a) + q) w_(s a + q). The lanes become channels; each tile is F(m, ceil(r / s)).
- A transposed convolution of stride s is s convolutions of stride 1, one for each phase p of its outputs:
  y_(s v + p) = sum of x_(v + (p - k) / s) w_k over the k that s divides p - k. Each is F(m, ceil(r / s)).

The products of different input channels are added up before the tile is transformed back, which is linear; over both
axes the matrices are Kronecker products. Sums over channels are matrix products, one for each point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.rewrites.cook_toom import cook_toom
from converters.tensors import Array


@dataclass(frozen=True)
class Convolution:
    """A 2-D convolution of a square kernel, equal strides, dilations and paddings on both axes.

    Attributes:
        weight: (out, in, r, r), or (in, out, r, r) if transposed; float32.
        bias: (out,) or None.
        padding: Pixels on each side; of the output if transposed.
        reflect: Whether they repeat the plane, mirrored, instead of being zero.
        output_padding: Rows more at the end of a transposed one's output.
    """

    weight: Array
    bias: Array | None
    stride: int = 1
    dilation: int = 1
    padding: int = 0
    reflect: bool = False
    transposed: bool = False
    output_padding: int = 0

    @property
    def kernel(self) -> int:
        return int(self.weight.shape[2])

    @property
    def in_channels(self) -> int:
        return int(self.weight.shape[0 if self.transposed else 1])

    @property
    def out_channels(self) -> int:
        return int(self.weight.shape[1 if self.transposed else 0])


@dataclass(frozen=True)
class Tiling:
    """A convolution's tiles. Counts are per axis, and the same on both.

    Tile t reads the padded input at `step * (t // dilation) + t % dilation + increment * i + q + start`, for each read
    i and lane q, and gives outputs `phases * (dilation * (outputs * (t // dilation) + j) + t % dilation) + p`, for
    each of its outputs j and phase p.

    Attributes:
        outputs: Of one tile and phase, m.
        points: Multiplications of one tile and phase.
        reads: Input pixels of one tile and lane.
        lanes: The stride of a convolution; 1 for a transposed one.
        phases: The stride of a transposed convolution; 1 otherwise.
        input_matrix: (phases^2 points^2, reads^2), rows ordered (p_h, p_w, i_h, i_w).
        kernel_matrix: (phases, points, lanes, kernel), of one axis.
        output_matrix: (outputs^2, points^2).
    """

    outputs: int
    points: int
    reads: int
    lanes: int
    phases: int
    dilation: int
    step: int
    increment: int
    start: int
    input_matrix: Array
    kernel_matrix: Array
    output_matrix: Array

    @property
    def products(self) -> int:
        """Matrix products over the channels: one for each point of each phase."""
        return (self.phases * self.points) ** 2


def make_tiling(conv: Convolution, outputs: int) -> Tiling:
    """Cut `conv` into tiles of `outputs` x `outputs`."""
    stride = conv.stride
    taps = -(-conv.kernel // stride)
    matrices = cook_toom(outputs, taps)
    points = outputs + taps - 1
    if conv.transposed:
        lanes, phases = 1, stride
        shifts = [_first_read(phase, conv) for phase in range(phases)]
        start = min(shifts)
        reads = points + max(shifts) - start
        inputs = np.zeros((phases, points, reads))
        spread = np.zeros((phases, lanes, taps, conv.kernel))
        for phase, shift in enumerate(shifts):
            inputs[phase, :, shift - start : shift - start + points] = matrices.inputs
            for tap in range(taps):
                k = phase + conv.padding - stride * (shift + tap)
                if 0 <= k < conv.kernel:
                    spread[phase, 0, tap, k] = 1
        step, increment = outputs, 1
    else:
        lanes, phases = stride, 1
        start, reads = -conv.padding, points
        inputs = matrices.inputs[None]
        spread = np.zeros((phases, lanes, taps, conv.kernel))
        for k in range(conv.kernel):
            spread[0, k % stride, k // stride, k] = 1
        step, increment = stride * conv.dilation * outputs, stride * conv.dilation
    return Tiling(
        outputs=outputs,
        points=points,
        reads=reads,
        lanes=lanes,
        phases=phases,
        dilation=conv.dilation,
        step=step,
        increment=increment,
        start=start,
        input_matrix=_single(np.einsum("pin,PIN->pPiInN", inputs, inputs).reshape(-1, reads**2)),
        kernel_matrix=np.einsum("ia,pqak->piqk", matrices.weights, spread),
        output_matrix=_single(np.kron(matrices.outputs, matrices.outputs)),
    )


def transform_weights(conv: Convolution, tiling: Tiling) -> Array:
    """(products, lanes^2 in, out) float32, computed in float64 and rounded once.

    Products are ordered as the rows of `tiling.input_matrix`, channels (q_h, q_w, c).
    """
    weight = conv.weight.astype(np.float64)
    if conv.transposed:
        weight = weight.swapaxes(0, 1)  # (out, in, r, r)
    kernel = tiling.kernel_matrix
    over_rows = np.einsum("piqa,ocab->piqocb", kernel, weight, optimize=True)
    both = np.einsum("piqocb,PIQb->pPiIqQco", over_rows, kernel, optimize=True)
    return _single(both.reshape(tiling.products, tiling.lanes**2 * conv.in_channels, conv.out_channels))


def reads_zeros(conv: Convolution) -> bool:
    """Whether pixels outside the plane count as zero, rather than mirrored or not at all."""
    return conv.transposed or (conv.padding > 0 and not conv.reflect)


def _first_read(phase: int, conv: Convolution) -> int:
    """Input index, less the output's number in its phase, of the first tap: that of the largest k."""
    taps = -(-conv.kernel // conv.stride)
    smallest = (phase + conv.padding) % conv.stride
    return (phase + conv.padding - smallest) // conv.stride - (taps - 1)


def _single(array: Array) -> Array:
    return np.ascontiguousarray(array, dtype=np.float32)
