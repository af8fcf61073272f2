"""Decide whether a convolution is computed in tiles, and of which size, by comparing estimated costs.

The unit of cost is the time of one multiplication; memory access counts as the number of multiplications that take as
long. The constants were measured with ONNX Runtime 1.32 on two AMD EPYC cores (AVX2), nets of 64 base channels at
256x256 and 512x512. They affect only the speed of the result, never its numbers' correctness.
"""

from __future__ import annotations

from dataclasses import dataclass

from converters.rewrites.tiling import Convolution, Tiling, make_tiling

# Reading or writing one float32 of an intermediate tensor that does not stay in the cache.
ELEMENT_COST = 15.0
# Reading one pixel's channels in a Gather, however many they are.
GATHERED_PIXEL_COST = 3000.0
# Runtimes add up the products of a direct transposed convolution one by one, after the sums over the channels. Each
# takes as long as so many multiplications: about 100 on AVX2, more on AVX-512. With 200, LaMa's would be tiled, too:
# tried once, that gained no time, and took half as much memory again.
ADDED_PRODUCT_COST = 100.0
# Where few channels are summed, planes stay in the cache, and the additions take no more than this many times as long.
MAX_TRANSPOSED_SLOWDOWN = 3.0
# Tiles need Transposes around them too, so that a smaller gain is lost again.
MAX_COST_RATIO = 0.75
# Outputs of a tile along each axis that are tried.
TILE_SIZES = (2, 4)
# Six points keep errors below the gate with digits to spare; eight cost two digits and save nothing measurable.
MAX_POINTS = 6


@dataclass(frozen=True)
class Choice:
    """How a convolution is computed, and why.

    Attributes:
        tiling: None for the direct way.
        before: Multiplications per output pixel of the direct way.
        after: Multiplications per output pixel of the chosen way, with its transforms.
        reason: One sentence.
    """

    tiling: Tiling | None
    before: float
    after: float
    reason: str


def choose_tiling(conv: Convolution) -> Choice:
    """The cheapest tiling if it costs at most MAX_COST_RATIO times the direct way, else the direct way."""
    direct = conv.in_channels * conv.out_channels * conv.kernel**2
    before = direct / conv.stride**2 if conv.transposed else float(direct)
    taps = -(-conv.kernel // conv.stride)
    if taps == 1:
        return Choice(None, before, before, "one tap an axis: there is nothing to save")
    fitting = [outputs for outputs in TILE_SIZES if outputs + taps - 1 <= MAX_POINTS]
    if not fitting:
        return Choice(None, before, before, f"{taps} taps an axis want more than {MAX_POINTS} points")
    tilings = [make_tiling(conv, outputs) for outputs in fitting]
    best = min(tilings, key=lambda tiling: _cost(conv, tiling))
    slowdown = min(1 + ADDED_PRODUCT_COST / conv.in_channels, MAX_TRANSPOSED_SLOWDOWN) if conv.transposed else 1.0
    ratio = _cost(conv, best) / (before * slowdown)
    shape = f"{best.outputs}x{best.outputs} outputs of {taps}x{taps} taps by {best.points}x{best.points} points"
    if ratio > MAX_COST_RATIO:
        return Choice(None, before, before, f"{shape} would take {ratio:.2f} x the direct way's time")
    return Choice(best, before, _multiplications(conv, best), f"{shape}, about {ratio:.2f} x the direct way's time")


def _multiplications(conv: Convolution, tiling: Tiling) -> float:
    """Multiplications per output pixel, with those of the transforms."""
    channels = tiling.lanes**2 * conv.in_channels
    sums = channels * conv.out_channels
    inputs = tiling.reads**2 * channels
    outputs = tiling.outputs**2 * conv.out_channels
    return tiling.products * (sums + inputs + outputs) / (tiling.phases * tiling.outputs) ** 2


def _cost(conv: Convolution, tiling: Tiling) -> float:
    """Cost per output pixel."""
    channels = tiling.lanes**2 * conv.in_channels
    pixels = (tiling.phases * tiling.outputs) ** 2
    moved = 2 * tiling.products * (channels + conv.out_channels) + 2 * pixels * conv.out_channels
    gathered = (tiling.reads * tiling.lanes) ** 2
    return _multiplications(conv, tiling) + (ELEMENT_COST * moved + GATHERED_PIXEL_COST * gathered) / pixels
