"""Small partial-convolution nets, photos and masks to run them on, and the largest difference two results may have."""

from __future__ import annotations

import torch
from torch import Tensor

from parity_tests.support.partial_conv_states import make_state
from parity_tests.support.reference_models import build_model
from reference.model import ReferenceModel

LAYERS, BASE, SEED = 4, 2, 3
# float32 sums in another order than torch's, through four layers on values of magnitude 1.
MAX_RUNTIME_DIFFERENCE = 1e-5
# A wrong graph differs from torch by more, in units of the largest value.
MIN_WRONG_GRAPH_DIFFERENCE = 100 * MAX_RUNTIME_DIFFERENCE


def build_net(layout: str, layers: int = LAYERS, base: int = BASE, *, raw: bool = False) -> ReferenceModel:
    """The net of `partial_conv_states.make_state`; `raw` asks for the bare generator."""
    return build_model(make_state(layout, layers, base, SEED), raw=raw)


def max_abs_difference(actual: Tensor, expected: Tensor) -> float:
    """The largest absolute difference; NaN if either tensor holds NaN."""
    return float((actual - expected).abs().max())


def make_photo(*shape: int, seed: int = 5) -> Tensor:
    """Float32 noise in [0, 1)."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def make_hole(height: int, width: int) -> Tensor:
    """(1, 1, H, W) float32, 1 in a box that touches the border and covers 5/8 of the plane."""
    mask = torch.zeros(1, 1, height, width)
    mask[..., : height * 5 // 6, width // 4 :] = 1
    return mask


def make_all_but_a_corner(height: int, width: int) -> Tensor:
    """(1, 1, H, W) float32, 0 in 4x4 pixels at a corner and 1 elsewhere.

    At 64x96, every mask in the decoder of a net of four layers is partly valid.
    """
    mask = torch.ones(1, 1, height, width)
    mask[..., -4:, :4] = 0
    return mask
