"""Float64 convolutions of many channels to few, computed otherwise than torch does."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.sources import thin_convolution
from converters.sources.thin_convolution import ThinConvolutions

# Kernel, padding and dilation, each one number or two.
SHAPES = [((7, 7), 0, 1), ((3, 3), 1, 1), ((1, 5), (0, 2), 1), ((4, 2), (3, 1), (1, 2)), ((3, 3), 2, 2)]


@pytest.fixture
def convolved(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What the other way gave, in order."""
    given: list[Tensor] = []
    convolve = thin_convolution._convolve

    def keep(*args: object) -> Tensor:
        given.append(convolve(*args))  # type: ignore[arg-type]
        return given[-1]

    monkeypatch.setattr(thin_convolution, "_convolve", keep)
    return given


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "padding", "dilation"), SHAPES)
def test_sum_is_torchs_but_for_its_order(
    kernel: tuple[int, int], padding: int, dilation: int, bias: bool, convolved: list[Tensor]
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 13, 17, dtype=torch.float64)
    layer = nn.Conv2d(6, 3, kernel, padding=padding, dilation=dilation, bias=bias).double()
    with torch.no_grad():
        expected = layer(x)
        with ThinConvolutions():
            torch.testing.assert_close(layer(x), expected, rtol=1e-14, atol=1e-14)
    assert len(convolved) == 1


def test_others_are_left_to_torch(convolved: list[Tensor]) -> None:
    x = torch.randn(1, 6, 9, 9, dtype=torch.float64)
    weight = torch.randn(3, 6, 3, 3, dtype=torch.float64)
    with ThinConvolutions():
        F.conv2d(x.float(), weight.float())
        F.conv2d(x, weight, stride=2)
        F.conv2d(x, weight, None, 2)
        F.conv2d(x, weight, None, 1, "same")
        torch.conv2d(x, weight, None, (1, 1), (1,), (2,))
        F.conv2d(x, weight[:, :2], None, 1, 0, 1, 3)
        F.conv2d(x, torch.cat([weight, weight]))
        F.conv2d(x, weight[:, :, :1, :1])
    assert convolved == []


X, WEIGHT = torch.randn(1, 6, 9, 9, dtype=torch.float64), torch.randn(3, 6, 3, 3, dtype=torch.float64)
REFUSED = {
    "negative padding": (X, WEIGHT, None, 1, -1),
    "no dilation": (X, WEIGHT, None, 1, 0, 0),
    "a float32 bias": (X, WEIGHT, torch.zeros(3)),
    "a bias of one number": (X, WEIGHT, torch.zeros(1, dtype=torch.float64)),
    "no output channels": (X, WEIGHT[:0]),
    "a kernel larger than the plane": (X[..., :2], WEIGHT),
    "other input channels": (X[:, :5], WEIGHT),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_torch_refuses_is_refused(why: str) -> None:
    with pytest.raises(RuntimeError):
        F.conv2d(*REFUSED[why])  # type: ignore[arg-type]
    with ThinConvolutions(), pytest.raises(RuntimeError):
        F.conv2d(*REFUSED[why])  # type: ignore[arg-type]
