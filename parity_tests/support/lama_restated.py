"""LaMa's published nets in plain functions of tensors, with torch.fft: what the module is held to."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from parity_tests.support.lama_states import DILATIONS

# torch's float64 convolution copies every window: 20 GB for the last layer of a full net at 1024x768. So many rows of a
# result are computed at once.
STRIP = 64


def restate(state: Mapping[str, Tensor], kind: str, image: Tensor, mask: Tensor, mistake: str = "") -> Tensor:
    """The published net, masking and compositing included, in the element type of `image`.

    Args:
        state: The generator's state dict.
        kind: One of lama_states.KINDS.
        image: (N, 3, H, W) in [0, 1].
        mask: (N, 1, H, W), 1 is the hole.
        mistake: Names what is done wrong; the tests must see it.
    """
    weights = {key: value.to(image.dtype) for key, value in state.items()}
    numbers = sorted({int(key.split(".")[1]) for key in weights})

    def conv(x: Tensor, key: str, pad: int = 0, *, mode: str = "reflect", stride: int = 1, dilation: int = 1) -> Tensor:
        x = F.pad(x, (pad,) * 4, mode=mode) if pad else x
        weight, bias = weights[f"{key}.weight"], weights.get(f"{key}.bias")
        span = dilation * (weight.shape[2] - 1) + 1
        rows = (x.shape[2] - span) // stride + 1
        strips = [
            F.conv2d(x[:, :, top * stride : (top + STRIP - 1) * stride + span], weight, bias, stride, 0, dilation)
            for top in range(0, rows, STRIP)
        ]
        return torch.cat(strips, 2)

    def norm(x: Tensor, key: str) -> Tensor:
        mean, variance, scale, bias = (
            weights[f"{key}.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + (1e-2 if mistake == "wrong eps" else 1e-5)).sqrt() * scale + bias

    def transform(x: Tensor, key: str) -> Tensor:
        x = norm(conv(x, f"{key}.conv1.0"), f"{key}.conv1.1").relu()
        scaling = None if mistake == "no orthonormal scaling" else "ortho"
        spectrum = torch.fft.rfft2(x, norm=scaling)
        if mistake == "conjugate":
            spectrum = spectrum.conj()
        parts = [part for plane in spectrum.unbind(1) for part in (plane.real, plane.imag)]
        y = norm(conv(torch.stack(parts, 1), f"{key}.fu.conv_layer"), f"{key}.fu.bn").relu()
        back = torch.fft.irfft2(torch.complex(y[:, 0::2], y[:, 1::2]), s=x.shape[2:], norm=scaling)
        return conv(back if mistake == "no residual" else x + back, f"{key}.conv2")

    def fourier_layer(local: Tensor, whole: Tensor | None, at: str, pad: int, stride: int) -> tuple[Tensor, Tensor]:
        y_local = conv(local, f"{at}.ffc.convl2l", pad, stride=stride)
        if f"{at}.bn_g.weight" not in weights:
            return norm(y_local, f"{at}.bn_l").relu(), y_local[:, :0]
        y_whole = conv(local, f"{at}.ffc.convl2g", pad, stride=stride)
        if whole is not None and whole.shape[1]:
            y_local = y_local + conv(whole, f"{at}.ffc.convg2l", pad)
            y_whole = y_whole + transform(whole, f"{at}.ffc.convg2g")
        return norm(y_local, f"{at}.bn_l").relu(), norm(y_whole, f"{at}.bn_g").relu()

    def run_fourier(x: Tensor) -> tuple[Tensor, int]:
        local, whole, number = x, x[:, :0], 1
        while f"model.{number}.ffc.convl2l.weight" in weights:
            local, whole = fourier_layer(local, whole, f"model.{number}", *((3, 1) if number == 1 else (1, 2)))
            number += 1
        while f"model.{number}.conv1.ffc.convl2l.weight" in weights:
            inner = fourier_layer(local, whole, f"model.{number}.conv1", 1, 1)
            inner = fourier_layer(*inner, f"model.{number}.conv2", 1, 1)
            local, whole = local + inner[0], whole + inner[1]
            number += 1
        return torch.cat([local, whole], 1), number + 1

    def run_plain(x: Tensor) -> tuple[Tensor, int]:
        x, number = norm(conv(x, "model.1", 3), "model.2").relu(), 4
        while f"model.{number}.weight" in weights:
            padding = "reflect" if mistake == "reflect padding at strides" else "constant"
            x = norm(conv(x, f"model.{number}", 1, mode=padding, stride=2), f"model.{number + 1}").relu()
            number += 3
        while any(key.startswith(f"model.{number}.conv_block.") for key in weights):
            at, y = f"model.{number}.conv_block", x
            for first, last in ((0, False), (3, True)) if kind == "dilated" else ((1, False), (5, True)):
                if kind == "dilated":
                    shares = y.chunk(DILATIONS, 1)
                    dilated = [1 if mistake == "no dilation" else 2**i for i in range(DILATIONS)]
                    y = sum(
                        conv(share, f"{at}.{first}.convs.{i}", dilated[i], dilation=dilated[i])
                        for i, share in enumerate(shares)
                    )  # type: ignore[assignment]
                else:
                    y = conv(y, f"{at}.{first}", 1)
                y = norm(y, f"{at}.{first + 1}")
                y = y if last else y.relu()
            x, number = x + y, number + 1
        return x, number

    masked = torch.cat([image * (1 - mask), 1 - mask if mistake == "inverted mask" else mask], 1)
    x, number = run_fourier(masked) if kind == "fourier" else run_plain(masked)
    while f"model.{number}.running_mean" in weights or f"model.{number + 1}.running_mean" in weights:
        weight, bias = weights[f"model.{number}.weight"], weights[f"model.{number}.bias"]
        x = norm(F.conv_transpose2d(x, weight, bias, 2, 1, 1), f"model.{number + 1}").relu()
        number += 3
    y = conv(x, f"model.{numbers[-1]}", 3).sigmoid()
    return y * mask + image * (1 - mask)
