"""Small torch modules as users bring them: none of ganport's, none with a checkpoint that ganport knows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class UNet(nn.Module):
    """Two halvings, skips, spectral norm, InstanceNorm: sizes are multiples of 4, 8 or more."""

    def __init__(self, base: int = 4) -> None:
        super().__init__()
        self.first = self.block(3, base, 3, 1)
        self.down = self.block(base, 2 * base, 4, 2)
        self.deep = self.block(2 * base, 4 * base, 4, 2)
        self.up = nn.ConvTranspose2d(4 * base, 2 * base, 4, 2, 1)
        self.join = self.block(4 * base, 2 * base, 3, 1)
        self.last_up = nn.ConvTranspose2d(2 * base, base, 4, 2, 1)
        self.last = nn.Conv2d(2 * base, 3, 1)

    def block(self, given: int, made: int, kernel: int, stride: int) -> nn.Sequential:
        conv = spectral_norm(nn.Conv2d(given, made, kernel, stride, 1))
        return nn.Sequential(conv, nn.InstanceNorm2d(made, affine=True), nn.LeakyReLU(0.2))

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        down = self.down(first)
        joined = self.join(torch.cat([self.up(self.deep(down)), down], 1))
        return torch.tanh(self.last(torch.cat([self.last_up(joined), first], 1)))


class Composite(nn.Module):
    """Fills the hole of an image; what is known comes back as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        filled = torch.sigmoid(self.conv(torch.cat([image * (1 - mask), mask], 1)))
        return image * (1 - mask) + filled * mask


class Named(nn.Module):
    """Gives a dict with a list in it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor | list[Tensor]]:
        y = self.conv(x)
        return {"sum": y + 1, "parts": [y.relu(), y.mean((2, 3))]}


class SqueezeExcitation(nn.Module):
    """Weighs each channel by the means of all channels, after a norm that leaves them far from 0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.InstanceNorm2d(8)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.excite = nn.Conv2d(4, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x)) + 1
        return y * torch.sigmoid(self.excite(self.squeeze(self.pool(y)).relu()))


class Rows(nn.Module):
    """A row of numbers and an index for each item: no image at all."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 5)
        self.linear = nn.Linear(5, 3)

    def forward(self, x: Tensor, kind: Tensor) -> Tensor:
        return self.linear(x + self.table(kind))


class Grey(nn.Module):
    """No weights."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True)


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Branching(nn.Module):
    """Python decides by a number that is not known before the net runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if y.sum() > 0:  # the line that cannot be exported
            return y
        return -y


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("this net does not like x")


class Text(nn.Module):
    def forward(self, x: Tensor) -> str:
        return "no tensor"


def seed(module: nn.Module) -> nn.Module:
    """The module in eval mode, its weights from a fixed seed."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, 0, 0.2)
    return module.eval()
