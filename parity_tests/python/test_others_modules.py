"""Patterns of modules that other people publish: small stand-ins of what benchmarks/own_modules.py met in packages."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import ganport
from converters.targets.mxnet.runtime import MISMATCHED_MEMORY, missing_mxnet
from converters.tensors import Array
from parity_tests.support.own_modules import seed

# Outputs are of size 1 or so, in another library's order of sums.
SAME = 1e-5


def noise(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).random(shape, np.float32)


def convert(module: nn.Module, folder: Path, **options: Any) -> ganport.Bundle:
    (bundle,) = ganport.convert(module, "onnx", folder / "out", **options)
    return bundle


def require_same(bundle: ganport.Bundle, module: nn.Module, **inputs: Array) -> None:
    with bundle.open("onnx") as net, torch.inference_mode():
        (result,) = net.run(**inputs).values()
        np.testing.assert_allclose(result, module(*map(torch.from_numpy, inputs.values())), atol=SAME, rtol=SAME)


class PadsOddSizes(nn.Module):
    """A U-Net that runs at any size, as it pads what it brought up where a size was odd: it asks for that in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.deep = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.up = nn.Upsample(scale_factor=2)
        self.last = nn.Conv2d(11, 1, 1)

    def bring_up(self, x: Tensor, like: Tensor) -> Tensor:
        x = self.up(x)
        missing = like.shape[2] - x.shape[2], like.shape[3] - x.shape[3]
        return functional.pad(x, (0, missing[1], 0, missing[0]), "replicate") if any(missing) else x

    def forward(self, x: Tensor) -> Tensor:
        down = self.down(x)
        joined = torch.cat([self.bring_up(self.deep(down), down), down], 1)
        return torch.tanh(self.last(torch.cat([self.bring_up(joined, x), x], 1)))


def test_sizes_are_limited_to_those_at_which_the_graph_is_right(tmp_path: Path) -> None:
    module = seed(PadsOddSizes())
    bundle = convert(module, tmp_path, inputs={"x": (noise(1, 3, 32, 48), noise(2, 3, 64, 96))})
    assert bundle.inputs[0].multiple_of == 4
    require_same(bundle, module, x=noise(1, 3, 36, 20))
    with bundle.open("onnx") as net, pytest.raises(ganport.FeedError, match="multiple of 4"):
        net.run(x=noise(1, 3, 34, 20))


def test_batch_that_is_traced_as_a_constant_is_refused(tmp_path: Path) -> None:
    class AsksForTheBatch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 1 if x.shape[0] < 3 else x - 1

    with pytest.raises(ganport.ExportError, match=r"at other sizes \(N=3\)\. Fix its sizes"):
        convert(AsksForTheBatch().eval(), tmp_path, inputs={"x": (noise(1, 5), noise(2, 5))})


def test_output_whose_size_differs_at_odd_sizes_is_not_called_the_inputs(tmp_path: Path) -> None:
    module = seed(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Upsample(scale_factor=2), nn.Conv2d(4, 3, 1)))
    bundle = convert(module, tmp_path)
    assert bundle.inputs[0].multiple_of == 1
    assert bundle.outputs[0].shape == ("N", 3, "output_axis_2", "output_axis_3")
    require_same(bundle, module, input=noise(1, 3, 21, 30))


def test_traced_module_whose_deep_copy_trains_is_run_in_eval_mode(tmp_path: Path) -> None:
    class Traced(torch.fx.GraphModule):
        """As torchvision's feature extractors: a deep copy, with all its parts, is in training mode."""

        def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
            copied: nn.Module = super().__deepcopy__(memo)
            return copied.train()

    net = seed(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    with torch.no_grad():
        net[1].running_mean.add_(0.5)
    module = Traced(net, torch.fx.symbolic_trace(net).graph).eval()
    x = noise(2, 3, 9, 12)
    require_same(convert(module, tmp_path, inputs={"x": x}), module, x=x)


def test_output_that_has_an_inputs_name_gets_another(tmp_path: Path) -> None:
    class Named(nn.Module):
        def forward(self, sample: Tensor) -> dict[str, Tensor]:
            return {"sample": sample * 2 + 1}

    bundle = convert(Named().eval(), tmp_path, inputs={"sample": noise(1, 3, 8, 8)})
    assert bundle.outputs[0].name == "output_sample"
    with pytest.raises(ganport.FeedError, match=r"an input and an output are both called 'sample'\. Give one another"):
        convert(Named().eval(), tmp_path, inputs={"sample": noise(1, 3, 8, 8)}, outputs=["sample"], overwrite=True)


def test_squeeze_of_an_axis_that_is_not_1_leaves_it(tmp_path: Path) -> None:
    """As pytorch-msssim asks for it."""

    class Squeezes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * 2).squeeze(3).squeeze(2) + 1

    module = Squeezes()
    bundle = convert(module.eval(), tmp_path, inputs={"x": (noise(1, 3, 8, 10), noise(2, 3, 12, 18))})
    require_same(bundle, module, x=noise(2, 3, 7, 5))


def test_reshape_that_spells_out_a_sum_of_sizes_goes_to_mxnet(tmp_path: Path) -> None:
    """As kornia's filters do it."""

    class Pads(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = functional.pad(x, (2, 2, 0, 0), "reflect")
            return y.reshape(-1, 3, y.shape[2], y.shape[3]) * 2

    module, pair = Pads().eval(), (noise(1, 3, 8, 10), noise(2, 3, 12, 18))
    (bundle,) = ganport.convert(module, "mxnet", tmp_path, inputs={"x": pair})
    assert bundle.targets == ("mxnet",)
    if missing_mxnet() is None:
        assert bundle.parity["mxnet"].passed


@pytest.mark.skipif(missing_mxnet() is not None, reason="it takes MXNet")
def test_file_on_which_its_runtime_fails_is_refused_and_the_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MXNet does on a small U-Net of diffusers."""
    import mxnet

    def fail(self: Any, is_train: bool) -> None:
        raise mxnet.MXNetError(f"The size of NDArray {MISMATCHED_MEMORY}")

    module, x = seed(nn.Sequential(nn.Conv2d(3, 4, 3))), noise(1, 3, 8, 10)
    monkeypatch.setattr(mxnet.executor.Executor, "forward", fail)
    with pytest.raises(ganport.ConversionError) as caught:
        ganport.convert(module, "onnx,mxnet", tmp_path, inputs={"x": x}, name="net")
    assert "set NNVM_EXEC_MATCH_RANGE=0 in the environment wherever it runs, or leave mxnet out" in caught.value.remedy
    bundle = ganport.read_bundle(tmp_path / "net")
    assert bundle.targets == ("onnx",)
    assert bundle.not_verified["mxnet"].startswith("refused: net-symbol.json: MXNet does not run it")
    assert not list(bundle.folder.glob("*.params"))
    ganport.verify(bundle)


class GroupsByBatch(nn.Module):
    """A convolution whose weights depend on the item, as StyleGAN's: each item is a group."""

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        weight = x.mean((2, 3)).repeat_interleave(channels, 0).reshape(batch * channels, channels, 1, 1)
        y = functional.conv2d(x.reshape(1, batch * channels, height, width), weight, groups=batch)
        return y.reshape(x.shape)


def test_refusal_of_free_sizes_names_the_operator_and_says_that_fixed_ones_work(tmp_path: Path) -> None:
    with pytest.raises(ganport.ExportError) as caught:
        convert(GroupsByBatch().eval(), tmp_path, inputs={"x": (noise(1, 3, 8, 8), noise(2, 3, 8, 8))})
    assert "translating torch's operator aten.conv2d.default" in caught.value.met
    assert caught.value.met.endswith("with all sizes fixed, it can")
    assert caught.value.remedy.startswith("Fix its sizes: give one example of each input")
    module = GroupsByBatch().eval()
    require_same(convert(module, tmp_path, inputs={"x": noise(2, 3, 8, 8)}), module, x=noise(2, 3, 8, 8))


def test_module_that_makes_float32_tensors_itself_is_judged_without_float64(tmp_path: Path) -> None:
    class Blur(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return functional.conv2d(x, torch.full((1, 1, 3, 3), 1 / 9, dtype=torch.float32))

    bundle = convert(Blur().eval(), tmp_path, inputs={"x": noise(1, 1, 8, 10)})
    assert bundle.parity["onnx"].passed
    assert bundle.parity["onnx"].excess is None


def test_module_of_buffers_alone_is_judged_in_float64(tmp_path: Path) -> None:
    class Blur(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kernel", torch.rand(1, 1, 3, 3) / 4)

        def forward(self, x: Tensor) -> Tensor:
            return functional.conv2d(x, self.kernel)

    bundle = convert(Blur().eval(), tmp_path, inputs={"x": (noise(1, 1, 8, 10), noise(2, 1, 12, 18))})
    assert bundle.parity["onnx"].excess is not None


def test_module_that_cannot_be_copied_is_refused(tmp_path: Path) -> None:
    class Locked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()

        def forward(self, x: Tensor) -> Tensor:
            return x + 1

    with pytest.raises(ganport.ExportError, match=r"cannot be copied by copy\.deepcopy .*Keep no results, locks"):
        convert(Locked().eval(), tmp_path, inputs={"x": noise(1, 3, 8, 8)})
