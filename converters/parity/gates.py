"""The gates: the largest errors that a file may have, and the limits beyond which an input proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from converters.errors import BundleError


@dataclass(frozen=True)
class Gate:
    """The limits for the errors of an output over its region; None is no limit. For 8-bit outputs they are in levels.

    Attributes:
        max_abs: Largest absolute error allowed.
        p99_9: Largest 99.9th percentile of the absolute error allowed.
        psnr_db: Smallest peak signal-to-noise ratio allowed, in dB, the peak being 1.
        excess: Largest error against a float64 run of the source allowed, in units of the source's own float32 error.
            That is the larger of two float32 runs' errors, one on the inputs and one on inputs moved by one float32
            step, as the rounding of a single run may be lucky.
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
    # A graph before its norms and its means over several axes are spelled out. ONNX Runtime's own operators add up a
    # whole plane in one float32 sum: 1.9e-4 on the shipped pair, 9.4e-4 on a trained pair of 24 channels, with a hole
    # of 83 %. No file of ganport's contains them: the last of the rungs "accurate norm" and "accurate mean", and every
    # file, are held to tighter gates.
    "runtime norm": Gate(2e-3, None, 60.0, None),
    # On a processor with AVX-512, MXNet 1.9.1's own convolution of 256 channels has 3.8 times torch's error in the mean
    # square and 7.6 times in the worst place (benchmarks/mxnet_rounding.py); the shipped inpaint net ends at 4.1 times.
    "mxnet": Gate(1e-4, 2e-5, 100.0, 8.0),
    # Rewrites that change nothing but the order of sums.
    "exact": Gate(2e-5, None, 100.0, 4.0),
    # Winograd tiles add and subtract multiples of pixels before multiplying, which costs about one digit.
    "winograd": Gate(1e-4, 2e-5, 95.0, 16.0),
    "tensorrt": Gate(1e-3, 1e-4, 80.0, 32.0),
    # OpenVINO on the ONNX file, as the C++ programs can be built with it. Its fusions undo the spelled-out norms, which
    # costs 4.8e-5 on a net with random weights and 6e-7 to 6e-6 on trained ones.
    "openvino": Gate(1e-4, 1e-4, 95.0, None),
    # 8-bit outputs: a value near the middle between two levels may be rounded either way.
    "levels": Gate(None, 1.0, None, None),
    "equal": Gate(0.0, None, None, None),
}

# An input is ill-conditioned if the source's own float32 output is further than this from its float64 output: in units
# for floats, in levels for integers. A file that misses its gate there is judged by its excess error, if that is to be
# had and the two are not too far apart.
ILL_CONDITIONED = 1e-5
ILL_CONDITIONED_LEVELS = 1

# It is ill-conditioned too if moving the inputs by one float32 step moves the float32 output further than this from
# float64: then agreement would be luck.
ILL_CONDITIONED_PERTURBED = 1e-3

# If a float64 run is further than this from float32, in units, errors say nothing, or it is another computation: onnx's
# reference and ONNX Runtime disagree on some operators by 0.3 to 0.9. On a net that others made, whose float32
# is doubtful, they were 2e-5 apart.
MAX_FLOAT64_DISAGREEMENT = 1e-4

# A file that disagrees with ONNX Runtime but holds its gate against float64 passes if ONNX Runtime is no further than
# this from float64, in units. 6.9e-4 was seen on a net that divides by what it clips at 1e-4; beyond, as above, the two
# read an operator differently, and the file is to compute what ONNX Runtime does.
MAX_FAR_FLOAT32 = 1e-2

# The largest excess error allowed where it alone decides and the source is a file in ONNX Runtime.
MAX_EXCESS_ALONE = 4.0


def require_gate(where: object, name: str) -> None:
    """Refuse a gate's name, read from the bundle `where`, that is not in GATES.

    Raises:
        BundleError: there is no such gate.
    """
    if name not in GATES:
        raise BundleError(where, f"its gate '{name}' is not known", "Update ganport")
