"""`ganport.convert(module, ...)`: the contract that is found, files that compute what the module computes, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ganport
from converters.prove import prove_module
from converters.targets.mxnet.runtime import missing_mxnet
from converters.tensors import Array, TensorSpec
from parity_tests.support import own_modules as nets
from parity_tests.support.own_modules import seed

# Outputs are of size 1 or so, in another library's order of sums.
SAME = 1e-5
# Of a mean over 256x256: 1.0 to 1.2 were seen, and 32 and 117 where ONNX Runtime adds up the plane in one sum.
MAX_EXCESS = 4
TARGETS = ["onnx"] if missing_mxnet() else ["onnx", "mxnet"]


def noise(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).random(shape, np.float32)


def run_torch(module: nn.Module, *arrays: Array) -> Any:
    with torch.inference_mode():
        return module(*map(torch.from_numpy, arrays))


def convert(module: nn.Module, folder: Path, **options: Any) -> ganport.Bundle:
    (bundle,) = ganport.convert(module, TARGETS, folder / "out", **options)
    return bundle


def require_same(bundle: ganport.Bundle, expected: dict[str, torch.Tensor], **inputs: Array) -> None:
    for target in bundle.targets:
        with bundle.open(target) as net:
            results = net.run(**inputs)
        assert list(results) == list(expected)
        for name, array in expected.items():
            np.testing.assert_allclose(results[name], array.numpy(), atol=SAME, rtol=SAME)


def test_net_of_one_image_needs_no_inputs(tmp_path: Path) -> None:
    module = seed(nets.UNet())
    bundle = convert(module, tmp_path, outputs=["y"], name="mynet")
    (given,) = bundle.inputs
    assert (given.name, given.shape, given.multiple_of, given.minimum) == ("x", ("N", 3, "H", "W"), 4, 8)
    assert bundle.outputs[0].shape == ("N", 3, "H", "W")
    assert bundle.folder == tmp_path / "out" / "mynet"
    x = noise(2, 3, 20, 36)
    require_same(bundle, {"y": run_torch(module, x)}, x=x)
    rungs = [rung["rung"] for rung in json.loads((bundle.folder / "parity.json").read_text())["rungs"]]
    assert rungs == ["fold", "export", "simplify", "accurate norm", *TARGETS]
    assert all(summary.passed and summary.excess is not None for summary in bundle.parity.values())


def test_module_is_not_changed(tmp_path: Path) -> None:
    module = seed(nets.UNet())
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    convert(module, tmp_path, outputs=["y"])
    assert module.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[key]) for key, tensor in module.state_dict().items())


def test_two_examples_leave_free_what_differs(tmp_path: Path) -> None:
    module = seed(nets.UNet())
    inputs = {"picture": (noise(1, 3, 32, 48), torch.from_numpy(noise(1, 3, 64, 96)))}
    bundle = convert(module, tmp_path, inputs=inputs)
    assert bundle.inputs[0].shape == (1, 3, "H", "W")
    x = noise(1, 3, 24, 40)
    require_same(bundle, {"output": run_torch(module, x)}, picture=x)


def test_one_example_fixes_all_sizes(tmp_path: Path) -> None:
    module = seed(nets.UNet())
    bundle = convert(module, tmp_path, inputs={"x": noise(1, 3, 32, 48)})
    assert bundle.inputs[0].shape == bundle.outputs[0].shape == (1, 3, 32, 48)
    x = noise(1, 3, 32, 48) * 0.5
    require_same(bundle, {"output": run_torch(module, x)}, x=x)
    with bundle.open("onnx") as net, pytest.raises(ganport.FeedError, match="its shape is"):
        net.run(x=noise(1, 3, 64, 48))


def test_composited_output_is_judged_in_the_hole(tmp_path: Path) -> None:
    module = seed(nets.Composite())
    free = TensorSpec("image", ("N", 3, "H", "W"), value_range=(0, 1), meaning="RGB")
    mask = TensorSpec("mask", ("N", 1, "H", "W"), value_range=(0, 1), meaning="1 is the hole")
    inputs = {"image": free, "mask": mask}
    bundle = convert(module, tmp_path, inputs=inputs, outputs=["result"], known={"result": "image"})
    report = json.loads((bundle.folder / "parity.json").read_text())["rungs"][-1]
    assert {tensor["region"] for tensor in report["tensors"]} == {"hole"}
    image, hole = noise(1, 3, 16, 24), (noise(1, 1, 16, 24) > 0.5).astype(np.float32)
    require_same(bundle, {"result": run_torch(module, image, hole)}, image=image, mask=hole)
    assert bundle.inputs[0].meaning == "RGB"


def test_known_pixels_that_the_module_does_not_give_back_are_refused(tmp_path: Path) -> None:
    class Leaking(nets.Composite):
        def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return super().forward(image, mask) * 0.999

    inputs = {"image": noise(1, 3, 16, 24), "mask": np.zeros((1, 1, 16, 24), np.float32)}
    with pytest.raises(
        ganport.FeedError, match="the module itself does not give the pixels of 'image' back in 'result'"
    ):
        convert(seed(Leaking()), tmp_path, inputs=inputs, outputs=["result"], known={"result": "image"})
    assert not (tmp_path / "out" / "Leaking").exists()


def test_tensors_in_a_dict_keep_its_keys(tmp_path: Path) -> None:
    module = seed(nets.Named())
    bundle = convert(module, tmp_path)
    x = noise(1, 1, 9, 12)
    result = run_torch(module, x)
    expected = {"sum": result["sum"], "parts_0": result["parts"][0], "parts_1": result["parts"][1]}
    require_same(bundle, expected, x=x)
    assert bundle.outputs[2].shape == ("N", 2)


@pytest.mark.parametrize(("net", "spelled_out"), [
    (nets.Named, ["accurate mean"]),
    (nets.SqueezeExcitation, ["accurate norm", "accurate mean"]),
])  # fmt: skip
def test_mean_of_a_plane_is_as_accurate_as_torchs(net: type[nn.Module], spelled_out: list[str], tmp_path: Path) -> None:
    bundle = convert(seed(net()), tmp_path)
    rungs = json.loads((bundle.folder / "parity.json").read_text())["rungs"]
    assert [rung["rung"] for rung in rungs] == ["fold", "export", "simplify", *spelled_out, *TARGETS]
    for rung in rungs[-len(TARGETS) - 1 :]:
        assert rung["gate"]["excess"] is not None
        judged = [tensor for tensor in rung["tensors"] if tensor["case"].endswith(" 256x256")]
        assert judged
        assert all(tensor["verdict"] == "passed" for tensor in judged)
        assert max(tensor["metrics"]["excess"] for tensor in judged) < MAX_EXCESS


def test_net_of_rows_and_indices(tmp_path: Path) -> None:
    module = seed(nets.Rows())
    inputs = {
        "x": (noise(2, 5), noise(3, 5)),
        "kind": (np.array([1, 2]), np.array([0, 9, 3])),
    }
    bundle = convert(module, tmp_path, inputs=inputs, outputs=["y"])
    assert [spec.shape for spec in bundle.inputs] == [("N", 5), ("N",)]
    x, kind = noise(4, 5), np.array([7, 0, 1, 9])
    require_same(bundle, {"y": run_torch(module, x, kind)}, x=x, kind=kind)


def test_module_without_weights(tmp_path: Path) -> None:
    bundle = convert(seed(nets.Grey()), tmp_path, inputs={"x": (noise(1, 3, 8, 10), noise(2, 3, 6, 12))})
    x = noise(1, 3, 5, 7)
    require_same(bundle, {"output": torch.from_numpy(x.mean(1, keepdims=True))}, x=x)


X = {"x": noise(1, 3, 8, 8)}
REFUSED: dict[str, tuple[nn.Module, dict[str, Any], str]] = {
    "training": (nets.UNet(), {}, r"UNet: 'UNet' is in training mode\. Call module\.eval\(\) first"),
    "a part in training": (nn.Sequential(nn.Conv2d(3, 3, 1).eval()), {}, "in training mode"),
    "float64": (seed(nets.UNet()).double(), {}, r"is torch\.float64\. Call module\.float\(\) first"),
    "float16": (seed(nets.UNet()).half(), {}, r"is torch\.float16\. Call module\.float\(\) first"),
    "no module": ("UNet", {}, "there is no such file|its suffix is ''"),
    "random": (seed(nets.Noisy()), {"inputs": X}, "it gives other numbers each time on the same input"),
    "text": (seed(nets.Text()), {"inputs": X}, "it returns a str, which is no tensor, tuple, list or dict"),
    "fails": (seed(nets.Failing()), {"inputs": X}, r"own_modules\.py, line \d+, in forward: raise ValueError"),
    "too many names": (seed(nets.Grey()), {"inputs": X, "outputs": ["a", "b"]}, "it returns 1 tensors"),
    "a name as text": (seed(nets.Grey()), {"inputs": X, "outputs": "a"}, "Give outputs="),
    "no inputs": (seed(nets.UNet()), {"inputs": {}}, "no inputs are named"),
    "cannot guess rows": (seed(nets.Rows()), {}, r"2 inputs \(x, kind\), so that their shapes cannot be guessed"),
    "cannot guess without a convolution": (seed(nets.Grey()), {}, "does not begin with a Conv2d"),
    "another rank": (seed(nets.UNet()), {"inputs": {"x": (noise(1, 3, 8, 8), noise(3, 8, 8))}}, "its two examples are"),
    "objects": (seed(nets.UNet()), {"inputs": {"x": "text"}}, "it is no array of numbers"),
    "too few channels": (seed(nets.UNet()), {"inputs": {"x": noise(1, 2, 8, 8)}}, "it does not run on x"),
    "known of nothing": (seed(nets.Grey()), {"inputs": X, "known": {"y": "x"}}, "needs that output and the inputs"),
    "raw": (seed(nets.Grey()), {"inputs": X, "raw": True}, "--raw is for checkpoints, and this is a module"),
    "a name that is a path": (seed(nets.Grey()), {"inputs": X, "name": "../net"}, "it is no folder name"),
    "size of no image": (seed(nets.Rows()), {
        "inputs": {"x": (noise(2, 5), noise(3, 5)), "kind": (np.array([1, 2]), np.array([0, 9, 3]))},
        "size": 32,
    }, "--size"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_converted_is_refused_at_the_call(case: str, tmp_path: Path) -> None:
    module, options, said = REFUSED[case]
    with pytest.raises(ganport.GanportError, match=said):
        convert(module, tmp_path, **options)
    assert not (tmp_path / "out").exists()


def test_line_that_cannot_be_exported_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ganport.ExportError) as caught:
        convert(seed(nets.Branching()), tmp_path, inputs=X)
    assert "own_modules.py, line" in caught.value.met
    assert "in forward: if y.sum() > 0:" in caught.value.met
    assert "write it otherwise" in caught.value.remedy
    assert capsys.readouterr().err == ""
    assert list(tmp_path.rglob("*")) == [] or not (tmp_path / "out" / "Branching").exists()


def test_another_module_does_not_prove_a_bundle(tmp_path: Path) -> None:
    module = seed(nets.UNet())
    bundle = convert(module, tmp_path)
    summaries = ganport.prove(bundle, module=module)
    assert set(summaries) == set(TARGETS)
    with torch.no_grad():
        module.last.bias.add_(0.1)
    with pytest.raises(ganport.BundleError, match="it was made from another module"):
        ganport.prove(bundle, module=module)
    with pytest.raises(ganport.BundleError, match=r"ganport\.prove\(.*, module=make_generator\(\)\.eval\(\)\)"):
        ganport.prove(bundle, checkpoint="weights.pth")


def test_file_that_somebody_changed_is_found_by_proving(tmp_path: Path) -> None:
    """With hashes right: the module itself is the judge."""
    import onnx
    from onnx import numpy_helper

    from parity_tests.support.command import rewrite_hashes

    module = seed(nets.UNet())
    bundle = convert(module, tmp_path)
    path = bundle.folder / "UNet.onnx"
    model = onnx.load(path)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("last.weight"))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    onnx.save(model, path)
    rewrite_hashes(bundle.folder)
    with pytest.raises(ganport.ParityError, match="rung onnx misses its gate"):
        ganport.prove(bundle, module=module)


class OnlyFloat32(nn.Module):
    """Checks its input, as some people's nets do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dtype == torch.float32, "float32 only"
        result: torch.Tensor = self.conv(x)
        return result


def test_module_that_does_not_run_in_float64_is_converted_and_that_is_said(tmp_path: Path) -> None:
    module = seed(OnlyFloat32())
    bundle = convert(module, tmp_path)
    said = bundle.not_verified["excess error"]
    assert said.startswith("not judged: the source does not run in float64 (AssertionError: float32 only")
    assert all(summary.excess is None for summary in bundle.parity.values())
    for file in ("README.md", "parity.md"):
        assert "excess error | not judged: the source does not run in float64" in (bundle.folder / file).read_text()
    assert "not in this bundle" not in (bundle.folder / "README.md").read_text()
    assert ganport.prove(bundle, module=module)["onnx"].excess is None
    _, _, unverified = prove_module(bundle.folder, module, lambda step: None)
    assert unverified["excess error"] == said
