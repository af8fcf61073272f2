"""The gates: how far a file may be from what its source computes, and when an input says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from converters.errors import BundleError


@dataclass(frozen=True)
class Gate:
    """A gate: largest errors allowed over the region, None where not judged. In levels where outputs are 8-bit.

    Attributes:
        max_abs: Largest absolute error.
        p99_9: 99.9th percentile of the absolute error.
        psnr_db: Smallest peak signal-to-noise ratio, peak 1.
        excess: Largest error against float64, in units of the standard's own: the larger of its float32 run's and of
            that on inputs moved by one float32 step, as one draw of rounding may be lucky.
    """

    max_abs: float | None
    p99_9: float | None
    psnr_db: float | None
    excess: float | None


GATES: Mapping[str, Gate] = {
    # Folding repeats torch's own arithmetic; only the order of sums inside a convolution may differ.
    "fold": Gate(1e-6, None, 120.0, None),
    # float32 rounding through some twenty normalized layers is 1e-6; 2e-5 leaves room for other CPUs' kernels.
    "onnx": Gate(2e-5, 2e-5, 100.0, 4.0),
    # A graph on its way, run with ONNX Runtime's own norm operator, which adds up a plane in one float32 sum. No file
    # has it: the rung "accurate norm" and every file are held to tighter gates.
    "runtime norm": Gate(2e-3, None, 60.0, None),
    # On a processor with AVX-512, MXNet 1.9.1's own convolution of 256 channels has 3.8 times torch's error in the mean
    # square and 7.6 times in the worst place (benchmarks/mxnet_rounding.py); the shipped inpaint net ends at 4.1 times.
    "mxnet": Gate(1e-4, 2e-5, 100.0, 8.0),
    # Rewrites that are identities but for the order of sums.
    "exact": Gate(2e-5, None, 100.0, 4.0),
    # Tiles add and subtract multiples of pixels before they are multiplied, and lose about one digit by it.
    "winograd": Gate(1e-4, 2e-5, 95.0, 16.0),
    "tensorrt": Gate(1e-3, 1e-4, 80.0, 32.0),
    # OpenVINO on the ONNX file (no target; the C++ consumer's): its fusions put back the norms that the file spells
    # out, and 4.8e-5 of error with them on a net with random weights; 6e-7 to 6e-6 on trained ones.
    "openvino": Gate(1e-4, 1e-4, 95.0, None),
    # 8 bits: a value near the middle between two levels may fall to either side.
    "levels": Gate(None, 1.0, None, None),
    "equal": Gate(0.0, None, None, None),
}

# Where the standard's float32 is itself further than this, in units, from float64, the input says nothing of a file.
ILL_CONDITIONED = 1e-5

ILL_CONDITIONED_LEVELS = 1

# And where one float32 step of the inputs moves its result as far as this: then agreement is luck.
ILL_CONDITIONED_PERTURBED = 1e-3

# Further apart, a float64 run and float32 are not one computation: onnx's reference and ONNX Runtime disagree on some
# operators by 0.3 to 0.9. A net of strangers whose float32 is in doubt was 2e-5 away.
MAX_FLOAT64_DISAGREEMENT = 1e-4

# Where the excess error decides alone, whatever the gate.
EXCESS_ALONE = 4.0


def require_gate(where: object, name: str) -> None:
    """Refuse a gate's name, read from the bundle `where`, that is not in GATES.

    Raises:
        BundleError: there is no such gate.
    """
    if name not in GATES:
        raise BundleError(where, f"its gate '{name}' is not known", "Update ganport")
