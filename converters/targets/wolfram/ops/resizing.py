"""Resize of the plane."""

from __future__ import annotations

from collections.abc import Sequence

from converters.targets.wolfram.ops.registry import OPS, RANK, Emitter, Value
from converters.targets.wolfram.syntax import format_list

# For whole factors, the pairs of ONNX's modes in which each pixel becomes a block: half_pixel meets no tie there.
BLOCKS = (
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("pytorch_half_pixel", "round_prefer_floor"),
)
# ONNX's coordinates to the option "Scheme" of ResizeLayer, whose page refers to "ArrayResample". Of n numbers, "Point"
# resamples from the first to the last; "Bin" resamples bins that fill 0 to n, at their centres.
SCHEMES = {"align_corners": "Point", "half_pixel": "Bin", "pytorch_half_pixel": "Bin"}
# The first version in which "Scheme" is taken for granted here; no page tells when it came.
SCHEME_VERSION = 12


@OPS.op("Resize", since=13)
def resize(
    emit: Emitter,
    x: Value,
    roi: Value | None = None,
    scales: Value | None = None,
    sizes: Value | None = None,
    *,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
) -> Value:
    """Resize(x: (N, C, H, W)) -> (N, C, H', W').

    By its page, ResizeLayer resizes the plane by Scaled[factor]; "Nearest" takes whole factors only. An antialias has
    an effect where a plane shrinks.
    """
    emit.require_plane(x)
    factors = _read_factors(emit, x, scales, sizes, axes)
    if not all(factor == int(factor) and factor >= 1 for factor in factors):
        raise emit.refuse(f"its factors are {factors}", "ResizeLayer is used for whole factors only")
    scaled = format_list(f"Scaled[{int(factor)}]" for factor in factors)
    if mode == "nearest":
        if (coordinate_transformation_mode, nearest_mode) not in BLOCKS:
            met = f"its modes are '{coordinate_transformation_mode}' and '{nearest_mode}'"
            raise emit.refuse(met, 'The "Nearest" of ResizeLayer makes a block of each pixel: use asymmetric and floor')
        return emit(f'ResizeLayer[{scaled}, "Resampling" -> "Nearest"]', x)
    if mode != "linear":
        raise emit.refuse(f"its mode is '{mode}'", "ResizeLayer knows nearest and linear")
    if coordinate_transformation_mode not in SCHEMES:
        met = f"its coordinate_transformation_mode is '{coordinate_transformation_mode}'"
        raise emit.refuse(met, f"ResizeLayer knows {', '.join(SCHEMES)}")
    emit.require_version(SCHEME_VERSION)
    scheme = SCHEMES[coordinate_transformation_mode]
    return emit(f'ResizeLayer[{scaled}, "Resampling" -> "Linear", "Scheme" -> "{scheme}"]', x)


def _read_factors(
    emit: Emitter, x: Value, scales: Value | None, sizes: Value | None, axes: Sequence[int] | None
) -> tuple[float, float]:
    """How much H and W grow."""
    resized = list(range(RANK)) if axes is None else [axis % RANK for axis in axes]
    factors = [1.0] * RANK
    if scales is not None and emit.require_array(scales, "scales").size:
        for axis, factor in zip(resized, emit.require_array(scales, "scales"), strict=True):
            factors[axis] = float(factor)
    elif sizes is not None:
        old = (1, *emit.require_sizes(x))
        new = dict(zip(resized, map(int, emit.require_array(sizes, "sizes")), strict=True))
        for axis, size in new.items():
            factors[axis] = 1.0 if axis == 0 else size / old[axis]
    if factors[:2] != [1.0, 1.0]:
        raise emit.refuse(f"its factors are {factors}", "Resize the plane only")
    return factors[2], factors[3]
