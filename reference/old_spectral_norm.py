"""Spectral norm as torch 0.4 wrote it: `weight_orig`, `weight_u` and the quotient `weight`, but no `weight_v`.

From torch 1.0 on, files hold v instead of the quotient: W = W_orig / (u^T W_mat v) (Miyato et al. 2018, arXiv
1802.05957). torch's hook loads the older files, too: it solves W_mat v = u by least squares and scales v so that
u^T W_mat v is the number that the file's own weight was divided by.

Deviation: torch inverts W_mat^T W_mat, a matrix as wide as a filter has weights, in float32. Here the other product,
W_mat W_mat^T, is inverted in float64: it has one row per output channel and gives the same v. Weights that are 0 say
nothing of the divisor and are left out; torch divides them by each other and gives NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from converters.errors import ArchitectureError


def restore_v(path: Path, tensors: Mapping[str, Tensor], conv: str, out_axis: int) -> dict[str, Tensor]:
    """`tensors` with `weight_v` in place of `weight` for one convolution.

    Args:
        path: The file, for messages.
        tensors: What the file holds: `CONV.weight_orig`, `CONV.weight_u` and `CONV.weight`, among others.
        conv: Start of the convolution's keys, without the full stop.
        out_axis: The axis of the weight that has the output channels.

    Raises:
        ArchitectureError: the file's weight is not its `weight_orig` divided by a number.
    """
    restored = dict(tensors)
    original, u = (tensors[f"{conv}.{name}"].double() for name in ("weight_orig", "weight_u"))
    divided = restored.pop(f"{conv}.weight").double()
    sigma = (original / divided)[divided != 0].mean()
    matrix = original.transpose(0, out_axis).flatten(1)  # one row per output channel
    v = matrix.T @ (torch.linalg.pinv(matrix @ matrix.T, hermitian=True) @ u)
    v = v * (sigma / torch.dot(u, matrix @ v))
    if not bool(torch.isfinite(v).all()):
        raise ArchitectureError(
            path,
            f"'{conv}.weight' is not '{conv}.weight_orig' divided by a number other than 0",
            "Load the net in the torch that trained it, take the spectral norm off, and save its state dict",
        )
    restored[f"{conv}.weight_v"] = v.float()
    return restored
