"""Cut a convolution into tiles that take few multiplications.

Along one axis let s be the stride, d the dilation, r the kernel size, m the outputs of a tile, and F(m, r) the
algorithm of `cook_toom` for m outputs and r taps:

- A convolution of stride 1 and dilation d is d convolutions of dilation 1, one for each residue e of the outputs
  modulo d: y_(d v + e) = sum_k x_(d (v + k) + e) w_k. Each is cut into tiles of F(m, r).
- A convolution of stride s is the sum of s convolutions of stride 1, one for each residue q of the inputs modulo s, a
  "lane": y_o = sum_q sum_a x_(s (o + a) + q) w_(s a + q). The lanes become channels; each tile is F(m, ceil(r / s)).
- A transposed convolution of stride s is s convolutions of stride 1, one for each residue p of the outputs modulo s, a
  "phase": y_(s v + p) = sum of x_(v + (p - k) / s) w_k over the k for which s divides p - k. Each tile is
  F(m, ceil(r / s)).

The products of different input channels are added up before the tile is transformed back; that is allowed because the
transform is linear. Over both axes the matrices are Kronecker products. The sum over channels is one matrix product for
each point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.rewrites.cook_toom import cook_toom
from converters.tensors import Array


@dataclass(frozen=True)
class Convolution:
    """A 2-D convolution with a square kernel, and the same stride, dilation and padding on both axes.

    Attributes:
        weight: (out, in, r, r) float32; (in, out, r, r) if transposed.
        bias: (out,) float32, or None.
        stride: In pixels.
        dilation: In pixels.
        padding: Pixels added on each side of the input; if transposed, pixels cut off each side of the output.
        reflect: Whether the added pixels mirror the plane; else they are zero.
        transposed: Whether it is a ConvTranspose.
        output_padding: Rows and columns added at the end of a transposed convolution's output.
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
    """How a convolution is cut into tiles. Counts are per axis; both axes have the same.

    Along an axis, tile t reads the input at `step * (t // dilation) + t % dilation + increment * i + q + start`, for
    each read i and lane q. It computes the outputs
    `phases * (dilation * (outputs * (t // dilation) + j) + t % dilation) + p`, for each j < `outputs` and phase p.

    Attributes:
        outputs: Outputs of one tile and phase, m.
        points: Multiplications for one tile and phase.
        reads: Input pixels that one tile reads from one lane.
        lanes: The stride of a convolution; 1 for a transposed one.
        phases: The stride of a transposed convolution; 1 otherwise.
        dilation: The dilation of the convolution.
        step: Distance in the input from a tile to the next tile of the same residue modulo `dilation`, in pixels.
        increment: Distance in the input from one read to the next, in pixels.
        start: Where the first tile begins in the input, in pixels; negative in the padding.
        input_matrix: (phases^2 * points^2, reads^2) float32, rows in the order (p_h, p_w, i_h, i_w).
        kernel_matrix: (phases, points, lanes, kernel) float64, for one axis.
        output_matrix: (outputs^2, points^2) float32.
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
        """Number of matrix products over the channels: one for each point of each phase, on both axes."""
        return (self.phases * self.points) ** 2


def make_tiling(conv: Convolution, outputs: int) -> Tiling:
    """Cut `conv` into tiles of `outputs` x `outputs` per phase."""
    stride = conv.stride
    taps = -(-conv.kernel // stride)
    matrices = cook_toom(outputs, taps)
    points = outputs + taps - 1
    if conv.transposed:
        lanes, phases = 1, stride
        shifts = [_first_tap_shift(phase, conv) for phase in range(phases)]
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
        input_matrix=_float32(np.einsum("pin,PIN->pPiInN", inputs, inputs).reshape(-1, reads**2)),
        kernel_matrix=np.einsum("ia,pqak->piqk", matrices.weights, spread),
        output_matrix=_float32(np.kron(matrices.outputs, matrices.outputs)),
    )


def transform_weights(conv: Convolution, tiling: Tiling) -> Array:
    """The weights of the matrix products over the channels, computed in float64 and rounded once.

    Returns:
        (products, lanes^2 * in, out) float32. Products are in the order of the rows of `tiling.input_matrix`, input
        channels in the order (q_h, q_w, c).
    """
    points = combine_axes(tiling) @ list_elements(conv).astype(np.float64)
    return _float32(points.reshape(tiling.products, tiling.lanes**2 * conv.in_channels, conv.out_channels))


def combine_axes(tiling: Tiling) -> Array:
    """The kernel matrix for both axes.

    Returns:
        (products * lanes^2, r^2) float64. Rows are in the order (p_h, p_w, i_h, i_w, q_h, q_w), columns in that of
        `list_elements`.
    """
    kernel = tiling.kernel_matrix
    both: Array = np.einsum("piqa,PIQb->pPiIqQab", kernel, kernel)
    return both.reshape(tiling.products * tiling.lanes**2, kernel.shape[-1] ** 2)


def list_elements(conv: Convolution) -> Array:
    """The weights with a row for each element of the kernel: (r^2, in * out) float32."""
    weight = conv.weight.swapaxes(0, 1) if conv.transposed else conv.weight  # (out, in, r, r)
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0)).reshape(conv.kernel**2, -1)


def reads_zeros(conv: Convolution) -> bool:
    """Whether tiles read pixels outside the plane as zero. Else such pixels are mirrored, or there are none."""
    return conv.transposed or (conv.padding > 0 and not conv.reflect)


def _first_tap_shift(phase: int, conv: Convolution) -> int:
    """Input position minus v that output v of a phase reads with its first tap, the one with the largest k."""
    taps = -(-conv.kernel // conv.stride)
    smallest = (phase + conv.padding) % conv.stride
    return (phase + conv.padding - smallest) // conv.stride - (taps - 1)


def _float32(array: Array) -> Array:
    return np.ascontiguousarray(array, dtype=np.float32)
