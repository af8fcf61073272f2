"""Run torch's float64 convolutions of many channels to few without a copy of their input for each weight.

For a convolution in float64, torch copies the input once for every element of the kernel: one of 7x7 from 64 channels
to 3 fills 6.6 GB on a plane of 512x512. The sum is the same but for its order. Both ways are measured by
benchmarks/float64_convolution.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class ThinConvolutions(TorchFunctionMode):
    """While it is active, such convolutions multiply first, and then add what the kernel's elements gave, shifted."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func is torch.conv2d and not options and _is_thin(*args):
            return _convolve(*args)
        return func(*args, **options)


def _is_thin(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: object = 1,
    padding: object = 0,
    dilation: object = 1,
    groups: int = 1,
) -> bool:
    """Whether it is such a convolution, and one that torch takes; what it does not take is left to its own error."""
    if x.dim() != 4 or weight.dim() != 4 or groups != 1 or stride not in (1, (1, 1)):
        return False
    if any(tensor.dtype != torch.float64 for tensor in (x, weight, *([] if bias is None else [bias]))):
        return False
    out_channels, channels, *kernel = weight.shape
    if x.shape[1] != channels or (bias is not None and bias.shape != (out_channels,)):
        return False
    if not 0 < out_channels < channels or min(kernel) < 1 or max(kernel) == 1:
        return False
    pads, steps = _read_pair(padding, least=0), _read_pair(dilation, least=1)
    if pads is None or steps is None:
        return False
    return all(x.shape[2 + axis] + 2 * pads[axis] > steps[axis] * (kernel[axis] - 1) for axis in (0, 1))


def _read_pair(value: object, least: int) -> tuple[int, int] | None:
    """A number for rows and one for columns; None for anything else that torch takes, such as "same" and (1,)."""
    numbers = (value, value) if isinstance(value, int) else value
    if not isinstance(numbers, tuple) or len(numbers) != 2 or not all(number >= least for number in numbers):
        return None
    return numbers


def _convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: object = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """F.conv2d with a stride of 1 and one group."""
    out_channels, channels, *kernel = weight.shape
    (top, left), (down, right) = ((each, each) if isinstance(each, int) else each for each in (padding, dilation))
    x = F.pad(x, (left, left, top, top))
    batch, _, height, width = x.shape
    height, width = height - down * (kernel[0] - 1), width - right * (kernel[1] - 1)
    each_element = weight.permute(2, 3, 0, 1).reshape(-1, channels) @ x.flatten(2)
    each_element = each_element.reshape(batch, *kernel, out_channels, *x.shape[2:])
    result = x.new_zeros(batch, out_channels, height, width)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            at, beside = i * down, j * right
            result += each_element[:, i, j, :, at : at + height, beside : beside + width]
    return result if bias is None else result + bias.reshape(-1, 1, 1)
