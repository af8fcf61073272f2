"""Convert a torch module of one's own: a small U-Net with spectral norm and instance norm, of free sizes.

    python examples/own_module.py out

Spectral norm is folded into the weights; the files are compared with the module as it is here. In the shell:

    ganport convert examples/own_module.py:make_generator --to onnx,mxnet -o out
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class UNet(nn.Module):
    """(N, 3, H, W) in [0, 1] -> the same; H and W are multiples of 4."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, channels, 7, padding=3, padding_mode="reflect")
        self.down = nn.ModuleList([self.shrink(channels), self.shrink(2 * channels)])
        self.up = nn.ModuleList([self.grow(4 * channels), self.grow(2 * channels)])
        self.leave = nn.Conv2d(channels, 3, 3, padding=1)

    @staticmethod
    def shrink(channels: int) -> nn.Module:
        conv = spectral_norm(nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1))
        return nn.Sequential(conv, nn.InstanceNorm2d(2 * channels), nn.ReLU())

    @staticmethod
    def grow(channels: int) -> nn.Module:
        conv = spectral_norm(nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1))
        return nn.Sequential(conv, nn.InstanceNorm2d(channels // 2), nn.ReLU())

    def forward(self, image: Tensor) -> Tensor:
        levels = [torch.relu(self.enter(image))]
        for down in self.down:
            levels.append(down(levels[-1]))
        y = levels.pop()
        for up in self.up:
            y = up(y) + levels.pop()
        return torch.sigmoid(self.leave(y))


def make_generator() -> nn.Module:
    """The net, with weights that would come from your training."""
    torch.manual_seed(0)
    return UNet().eval()


if __name__ == "__main__":
    import ganport

    random = np.random.default_rng(0)
    # Sizes that differ between the two examples are free in the files.
    examples = random.random((1, 3, 64, 96), np.float32), random.random((2, 3, 96, 64), np.float32)
    (bundle,) = ganport.convert(
        make_generator(),
        inputs={"image": examples},
        outputs=["result"],
        to=["onnx", "mxnet"],
        name="unet",
        out=Path(sys.argv[1]),
        overwrite=True,
    )
    for target, summary in bundle.parity.items():
        print(f"{target}: max abs error {summary.max_abs:.1e}")
    with bundle.open("onnx") as net:
        print(net.run(image=random.random((1, 3, 128, 64), np.float32))["result"].shape)
