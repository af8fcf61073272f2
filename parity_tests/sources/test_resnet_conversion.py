"""ResNet image-to-image generators in files: small nets, and a trained one of strangers against their own module."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from onnx import ModelProto

from converters.convert import Conversion, Settings, convert
from converters.errors import ParityError
from converters.onnx_graph.simplify import simplify
from converters.parity.compare import require_passed
from converters.parity.expected import ReferenceOutputs
from converters.parity.inputs import make_input, short_inputs
from converters.sources.export_torch import export_onnx
from converters.sources.source import open_accurate
from converters.sources.torch_source import run_reference
from converters.targets.registry import TARGETS
from parity_tests.support.broken_graphs import (
    Fault,
    add_constant,
    break_graph,
    count_channels,
    find_first_node,
    pad_with_zeros_instead_of_reflections,
    replace_attribute,
    use_wrong_epsilon_on_the_first_norm,
)
from parity_tests.support.places import ROOT
from parity_tests.support.reference_models import build_model
from parity_tests.support.resnet_generator_states import STYLE, add_running_statistics, list_norms, make_state
from parity_tests.support.waist import Waist


@pytest.fixture(scope="module")
def waist() -> Waist:
    """A net with every layer that a gate can miss: affine norms, transposed convolutions."""
    model = build_model(make_state("vintagify"))
    exported = export_onnx(model, model.module)
    return Waist(model, model.module, exported, simplify(exported))


@pytest.fixture(scope="module")
def expected(waist: Waist) -> ReferenceOutputs:
    return run_reference(waist.model, short_inputs(waist.model.inputs))


def leave_out_scale_and_bias_of_the_first_norm(model: ModelProto, waist: Waist) -> None:
    norm = find_first_node(model, "InstanceNormalization")
    count = count_channels(model, norm)
    for index, value in ((1, 1.0), (2, 0.0)):
        norm.input[index] = add_constant(model, f"plain_{index}", [value] * count)


def forget_the_output_padding(model: ModelProto, waist: Waist) -> None:
    for node in model.graph.node:
        if node.op_type == "ConvTranspose":
            replace_attribute(node, "output_padding", [0, 0])


def pad_the_output_at_the_other_end(model: ModelProto, waist: Waist) -> None:
    """Of the same size, and shifted by a pixel."""
    for node in model.graph.node:
        if node.op_type == "ConvTranspose":
            replace_attribute(node, "output_padding", [0, 0])
            replace_attribute(node, "pads", [0, 0, 1, 1])


FAULTS: tuple[Fault, ...] = (
    use_wrong_epsilon_on_the_first_norm,
    pad_with_zeros_instead_of_reflections,
    leave_out_scale_and_bias_of_the_first_norm,
    forget_the_output_padding,
    pad_the_output_at_the_other_end,
)


@pytest.mark.parametrize("fault", FAULTS)
def test_broken_graph_misses_even_the_loosest_gate(fault: Fault, waist: Waist, expected: ReferenceOutputs) -> None:
    broken = break_graph(waist, fault)
    for graph, passes in ((waist.graph, True), (broken, False)):
        (report,) = expected.compare("simplify", "tensorrt", open_accurate(graph, waist.model))
        assert report.passed == passes
    with pytest.raises(ParityError, match=r"its shape is|max abs error"):
        require_passed(report, "broken")


@pytest.mark.parametrize("channels", [(3, 3), (1, 3)])
def test_net_with_batch_norm_and_a_gray_one_convert(channels: tuple[int, int], tmp_path: Path) -> None:
    torch.save(make_state("cyclegan, batch norm", channels=channels), tmp_path / "net.pth")
    (made,) = convert([tmp_path / "net.pth"], Settings(("onnx", "mxnet", "trt"), tmp_path), lambda step: None)
    assert all(report.passed for report in made.reports)
    assert {"onnx", "mxnet"} <= {report.rung for report in made.reports}
    assert {artifact.target for artifact in made.bundle.manifest.artifacts} == {"onnx", "mxnet", "trt"}


# One net for each way to upsample; "vintagify" is converted in full below.
CONVERTED = ("cyclegan with dropout", "pytorch-gan", STYLE)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("layout", CONVERTED)
def test_file_converts_to_every_runtime(layout: str, raw: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(add_running_statistics(make_state(layout), list_norms(layout)), path)
    (made,) = convert([path], Settings(("onnx", "mxnet", "trt"), tmp_path, raw=raw), lambda step: None)
    assert all(report.passed for report in made.reports)
    assert {"onnx", "mxnet"} <= {report.rung for report in made.reports}
    assert {artifact.target for artifact in made.bundle.manifest.artifacts} == {"onnx", "mxnet", "trt"}
    assert made.bundle.manifest.architecture == ("style-transfer" if layout == STYLE else "cyclegan-resnet")


# A trained net of strangers: the wheel vintagify 0.1.2 (MIT) holds 9 blocks of 256 channels, and the module that made
# them, which is the oracle.
WHEEL = ROOT / "build" / "strangers" / "vintagify"
TRAINED = WHEEL / "resources" / "G_A2B_epoch33.pth"
TRAINED_SHA256 = "c502cd44ca720d004f89775f593fc403acc6b36d27d65390cbe2f476f771e560"
# What was promised on a photo of 256x256, in units of the [0, 1] range; 2e-6 was seen.
LARGEST_ERROR = {"onnx": 2e-5, "mxnet": 1e-4}


@pytest.fixture(scope="module")
def strangers() -> ModuleType:
    """The wheel's own generator.py, loaded alone: the package's other modules want more packages."""
    if not TRAINED.is_file():
        pytest.fail(f"{TRAINED} is not there: run `make build/strangers`")
    assert hashlib.sha256(TRAINED.read_bytes()).hexdigest() == TRAINED_SHA256
    spec = importlib.util.spec_from_file_location("strangers_generator", WHEEL / "generator.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trained(strangers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    settings = Settings(("onnx", "mxnet", "trt"), tmp_path_factory.mktemp("trained"))
    (made,) = convert([TRAINED], settings, lambda step: None)
    return made


def test_strangers_net_is_recognised_and_its_engine_built(trained: Conversion) -> None:
    manifest = trained.bundle.manifest
    assert manifest.architecture == "cyclegan-resnet"
    assert manifest.hyperparameters == {
        "base_channels": 64,
        "blocks": 9,
        "affine_norms": 1,
        "batch_norms": 0,
        "dropout": 0,
        "pixels_repeated": 0,
        "in_channels": 3,
        "out_channels": 3,
    }
    (engine,) = (artifact for artifact in trained.bundle.manifest.artifacts if artifact.target == "trt")
    assert engine.details["compared_with_the_graph"] == {
        "Conv": 3 + 18 + 1,
        "ConvTranspose": 2,
        "InstanceNormalization": 3 + 18 + 2,
        "Pad": 2 + 18,
    }


@pytest.mark.parametrize("target", LARGEST_ERROR)
def test_strangers_net_gives_what_their_own_module_gives_on_a_photo(
    target: str, trained: Conversion, strangers: ModuleType
) -> None:
    oracle = strangers.ResnetGenerator()
    oracle.load_state_dict(torch.load(TRAINED, map_location="cpu", weights_only=True))
    oracle.eval()
    photo = make_input([("coffee", "none")], (256, 256)).photo
    with torch.no_grad():
        # The wheel normalises by mean 0.5 and deviation 0.5, and maps back by (y + 1) / 2.
        wanted = (oracle((torch.from_numpy(photo) - 0.5) / 0.5) + 1) / 2
    assert float((wanted - torch.from_numpy(photo)).abs().mean()) > 0.02  # it does something to the photo
    (artifact,) = (artifact for artifact in trained.bundle.manifest.artifacts if artifact.target == target)
    files = [trained.bundle.folder / file for file in artifact.files]
    with TARGETS[target].open(files, trained.bundle.signature) as runner:
        result = runner.run({"image": photo})["result"]
    error = float(np.abs(result - wanted.numpy()).max())
    print(f"{target}: max abs error {error:.1e} against the wheel's own module")
    assert error <= LARGEST_ERROR[target]
