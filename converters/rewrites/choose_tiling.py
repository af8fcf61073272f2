"""Whether tiles pay for a convolution, and which: one cost, in multiplications, for each way to compute it.

What is no multiplication is counted as the number of them that takes as long. The constants were measured with ONNX
Runtime 1.32 on two AMD EPYC cores (AVX2), nets of 64 base channels at 256x256 and 512x512; they decide only what is
fast, never what is right.
"""

from __future__ import annotations

from dataclasses import dataclass

from converters.rewrites.tiling import Convolution, Tiling, make_tiling

# Reading or writing a float32 of an intermediate tensor that does not stay in the cache.
COST_OF_ELEMENT = 15.0
# One row of channels in a Gather, whatever its length.
COST_OF_ROW = 3000.0
# Transposed convolutions run at this part of the speed of plain ones, as their columns are added up one by one.
SLOWNESS_OF_TRANSPOSED = 1.4
# Tiles change the layout around them too, so a small gain is none.
MAX_COST_RATIO = 0.75
CANDIDATES = (2, 4)
# Six points keep errors below the gate with digits to spare; eight cost two digits and save nothing measurable.
MOST_POINTS = 6


@dataclass(frozen=True)
class Choice:
    """How a convolution is computed, and why.

    Attributes:
        tiling: None to leave it as it is.
        before: Multiplications for each output pixel, computed directly.
        after: The same as chosen, transforms included.
        reason: One sentence.
    """

    tiling: Tiling | None
    before: float
    after: float
    reason: str


def choose_tiling(conv: Convolution) -> Choice:
    """The cheapest tiling, if it costs at most MAX_COST_RATIO of the direct way."""
    direct = conv.in_channels * conv.out_channels * conv.kernel**2
    before = direct / conv.stride**2 if conv.transposed else float(direct)
    taps = -(-conv.kernel // conv.stride)
    if taps == 1:
        return Choice(None, before, before, "one tap an axis: there is nothing to save")
    fitting = [outputs for outputs in CANDIDATES if outputs + taps - 1 <= MOST_POINTS]
    if not fitting:
        return Choice(None, before, before, f"{taps} taps an axis want more than {MOST_POINTS} points")
    tilings = [make_tiling(conv, outputs) for outputs in fitting]
    best = min(tilings, key=lambda tiling: _cost(conv, tiling))
    ratio = _cost(conv, best) / (before * (SLOWNESS_OF_TRANSPOSED if conv.transposed else 1))
    shape = f"{best.outputs}x{best.outputs} outputs of {taps}x{taps} taps by {best.points}x{best.points} points"
    if ratio > MAX_COST_RATIO:
        return Choice(None, before, before, f"{shape} would take {ratio:.2f} x the direct way's time")
    return Choice(best, before, _multiplications(conv, best), f"{shape}, about {ratio:.2f} x the direct way's time")


def _multiplications(conv: Convolution, tiling: Tiling) -> float:
    """For each output pixel."""
    channels = tiling.lanes**2 * conv.in_channels
    sums = channels * conv.out_channels
    inputs = tiling.reads**2 * channels
    outputs = tiling.outputs**2 * conv.out_channels
    return tiling.products * (sums + inputs + outputs) / (tiling.phases * tiling.outputs) ** 2


def _cost(conv: Convolution, tiling: Tiling) -> float:
    """For each output pixel, in multiplications."""
    channels = tiling.lanes**2 * conv.in_channels
    pixels = (tiling.phases * tiling.outputs) ** 2
    moved = 2 * tiling.products * (channels + conv.out_channels) + 2 * pixels * conv.out_channels
    gathered = (tiling.reads * tiling.lanes) ** 2
    return _multiplications(conv, tiling) + (COST_OF_ELEMENT * moved + COST_OF_ROW * gathered) / pixels
