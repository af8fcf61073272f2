"""The written packages build nets that compute what the untouched torch module computes, by the product's own gate.

No Wolfram kernel is here: Mathics evaluates the real file, and an interpreter of the layers' documentation runs the
NetGraph. That proves the package and its arrays; whether a kernel accepts them, only a kernel can tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from converters.onnx_graph.simplify import simplify
from converters.parity.compare import require_passed
from converters.parity.expected import ReferenceOutputs
from converters.parity.gates import GATES
from converters.parity.inputs import make_input, short_inputs
from converters.runners import TorchRunner
from converters.sources.export_torch import export_onnx, fix_size
from converters.sources.spectral_norm import fold_spectral_norm
from converters.sources.torch_source import run_reference
from converters.targets.target import Artifact
from converters.targets.wolfram.target import WolframTarget
from parity_tests.support.mathics import Call, Symbol
from parity_tests.support.seeded_checkpoints import FULL_BASE, FULL_BLOCKS, NETS, write_checkpoint
from parity_tests.support.waist import Waist
from parity_tests.support.wolfram_bundle import InterpretedRunner, write_files
from parity_tests.support.wolfram_interpreter import run_net
from parity_tests.support.wolfram_layers import UndocumentedError
from reference.checkpoint import read_checkpoint
from reference.registry import identify

GATE = WolframTarget.gate
BOTH = pytest.mark.parametrize("net", NETS)
SIZE = (64, 96)
RGB = Call("Rule", (Symbol("ColorSpace"), "RGB"))
Alteration = Callable[[InterpretedRunner, Path], None]


@pytest.fixture
def written(waists: Mapping[str, Waist], tmp_path: Path) -> Mapping[str, tuple[Path, Artifact]]:
    """A folder for each net, to be altered."""
    made = {}
    for net, waist in waists.items():
        folder = tmp_path / net
        folder.mkdir()
        made[net] = folder, write_files(folder, f"edgeconnect-{net}", waist.graph, waist.model)
    return made


@pytest.fixture(scope="module")
def one_input(waists: Mapping[str, Waist]) -> Mapping[str, ReferenceOutputs]:
    return {net: run_reference(waist.model, short_inputs(waist.model.inputs)[:1]) for net, waist in waists.items()}


@BOTH
def test_net_of_the_package_passes_the_gate_against_the_untouched_module(
    net: str, waists: Mapping[str, Waist], written: Mapping[str, tuple[Path, Artifact]]
) -> None:
    """On every input that `convert` gates a file on: batches of 2, 12x12, 256x256, masks from none to full."""
    expected = run_reference(waists[net].model, short_inputs(waists[net].model.inputs))
    (report,) = expected.compare("wolfram", GATE, InterpretedRunner(*written[net], waists[net].model))
    require_passed(report, net)
    assert report.outside == ()


def export(net: str, checkpoints: Mapping[str, Path], folder: Path, size: tuple[int, int] | None) -> InterpretedRunner:
    """The bare generator, or the whole stage of one size."""
    checkpoint = read_checkpoint(checkpoints[net])
    model = identify(checkpoint).build(checkpoint, raw=size is None)
    if size is not None:
        model = fix_size(model, size)
    graph = simplify(export_onnx(model, fold_spectral_norm(model.module), size))
    runner = InterpretedRunner(folder, write_files(folder, net, graph, model), model)
    (report,) = run_reference(model, short_inputs(model.inputs, SIZE)[:4]).compare("wolfram", GATE, runner)
    require_passed(report, net)
    assert report.outside == ()
    return runner


def test_bare_net_passes_the_gate(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    export("edge", checkpoints, tmp_path, None)


def test_net_of_a_single_size_passes_the_gate_and_takes_no_other(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    runner = export("inpaint", checkpoints, tmp_path, SIZE)
    height, width = SIZE
    image = runner.build("").arguments[2]
    assert image == Call("Rule", ("image", Call("NetEncoder", (["Image", [width, height], RGB],))))
    assert runner.kernel.evaluate(f'{runner.builder}["ImageSize" -> {{{height}, {width}}}]') == Symbol("$Failed")
    assert runner.kernel.said[0].startswith(f"size: {{{height}, {width}}} is no size of this net.")


@BOTH
def test_net_of_the_published_size_agrees_with_the_untouched_module(net: str, tmp_path: Path) -> None:
    """64 channels, 8 blocks, on a small plane."""
    checkpoint = read_checkpoint(write_checkpoint(tmp_path, net, FULL_BASE, FULL_BLOCKS))
    model = identify(checkpoint).build(checkpoint)
    graph = simplify(export_onnx(model, fold_spectral_norm(model.module)))
    runner = InterpretedRunner(tmp_path, write_files(tmp_path, "full", graph, model), model)
    given = make_input([("coffee", "large")], (64, 64))
    feeds = model.make_feeds(given.photo, given.edges, given.mask)
    (expected,) = TorchRunner(model.module, model.inputs, model.outputs).run(feeds).values()
    (actual,) = runner.run(feeds).values()
    assert np.ptp(expected) > 0.1  # a constant would agree with anything
    assert np.abs(actual - expected).max() <= GATES[GATE].max_abs


def edit_package(before: str, after: str, count: int = 0) -> Alteration:
    """Alter the written text: the first `count` places, or all."""

    def edit(runner: InterpretedRunner, path: Path) -> None:
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, count or -1))

    return edit


def transpose_deconvolutions(*axes: int) -> Alteration:
    def edit(runner: InterpretedRunner, path: Path) -> None:
        used = re.findall(r'DeconvolutionLayer.*?"Weights" -> weights\["(.*?)"\]', path.read_text())
        assert len(used) == 2
        for name in used:
            runner.weights[name] = np.ascontiguousarray(runner.weights[name].transpose(axes))

    return edit


def flip_kernels(runner: InterpretedRunner, path: Path) -> None:
    """What another reading of "deconvolution" would do."""
    for name, array in runner.weights.items():
        if array.ndim == 4 and "decoder" in name and array.shape[2] == 4:
            runner.weights[name] = np.ascontiguousarray(array[:, :, ::-1, ::-1])


@BOTH
@pytest.mark.parametrize(
    "alter",
    [
        edit_package('"Epsilon" -> 1.*^-5', '"Epsilon" -> 0.001', 1),
        edit_package(', "Epsilon" -> 1.*^-5', ""),
        edit_package('Padding -> "Reflected"', "Padding -> 0"),
        edit_package('Padding -> "Reflected"', 'Padding -> "Fixed"'),
        edit_package(', Padding -> "Reflected"', "", 1),
        edit_package("ElementwiseLayer[1. - # &]", "ElementwiseLayer[# &]"),
        edit_package("ElementwiseLayer[Ramp]", "ElementwiseLayer[LogisticSigmoid]", 1),
        transpose_deconvolutions(0, 1, 3, 2),
        flip_kernels,
    ],
    ids=[
        "first epsilon",
        "epsilons left out",
        "zeros",
        "repeated edges",
        "zeros once",
        "mask swapped",
        "activation",
        "kernels turned",
        "kernels flipped",
    ],
)
def test_altered_package_misses_the_gate(
    alter: Alteration,
    net: str,
    waists: Mapping[str, Waist],
    written: Mapping[str, tuple[Path, Artifact]],
    one_input: Mapping[str, ReferenceOutputs],
) -> None:
    folder, artifact = written[net]
    runner = InterpretedRunner(folder, artifact, waists[net].model)
    alter(runner, folder / artifact.files[0])
    runner.kernel.get(folder / artifact.files[0])
    (report,) = one_input[net].compare("wolfram", GATE, runner)
    assert not report.passed


@BOTH
def test_deconvolution_weights_of_swapped_channels_do_not_fit(
    net: str,
    waists: Mapping[str, Waist],
    written: Mapping[str, tuple[Path, Artifact]],
    one_input: Mapping[str, ReferenceOutputs],
) -> None:
    folder, artifact = written[net]
    runner = InterpretedRunner(folder, artifact, waists[net].model)
    transpose_deconvolutions(1, 0, 2, 3)(runner, folder / artifact.files[0])
    with pytest.raises(UndocumentedError, match=r"\[8, 16, 4, 4\]"):
        one_input[net].compare("wolfram", GATE, runner)


@BOTH
def test_images_go_through_the_encoders_and_come_out_of_the_decoder(
    net: str, waists: Mapping[str, Waist], written: Mapping[str, tuple[Path, Artifact]]
) -> None:
    """{width, height} outside, (channels, height, width) in 0..1 inside."""
    height, width = 32, 48
    rng = np.random.default_rng(0)
    model = waists[net].model
    runner = InterpretedRunner(*written[net], model)
    levels = {
        spec.name: rng.integers(0, 256, (height, width, *([3] if spec.shape[1] == 3 else [])), np.uint8)
        for spec in model.inputs
    }
    for name in ("edges", "mask"):
        levels[name] = np.where(levels[name] > 128, 255, 0).astype(np.uint8)
    feeds = {
        name: np.moveaxis(array.reshape(1, height, width, -1), 3, 1) / np.float32(255) for name, array in levels.items()
    }
    (expected,) = TorchRunner(model.module, model.inputs, model.outputs).run(feeds).values()
    graph = runner.build(f'"ImageSize" -> {{{width}, {height}}}')
    (image,) = run_net(graph, runner.weights, levels).values()
    assert image.shape == (height, width, model.outputs[0].shape[1])
    assert np.abs(image.transpose(2, 0, 1) - expected[0]).max() <= GATES[GATE].max_abs
