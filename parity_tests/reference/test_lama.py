"""LaMa: each kind read from keys alone, held to a restatement whose Fourier transform is torch.fft's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto
from torch import Tensor

import reference.registry
from converters.errors import ArchitectureError, FeedError
from converters.onnx_graph.clean import check
from converters.onnx_graph.simplify import simplify
from converters.runners import TorchRunner
from converters.sources.export_torch import export_onnx
from parity_tests.support.lama_restated import restate
from parity_tests.support.lama_states import DILATIONS, KINDS, make_lightning, make_state, write_checkpoint
from parity_tests.support.reference_models import (
    build_model,
    list_matching_architectures,
    make_checkpoint,
    make_planes,
    without_key,
)
from reference.checkpoint import read_checkpoint
from reference.fourier_unit import make_basis

# float64 rounding through some ten layers of values of order 1.
ROUNDING = 1e-10
# One transform of numbers of order 1 in float64.
TRANSFORM_ROUNDING = 1e-13
# What a mistake changes at least, millions of roundings.
MISTAKE = 1e-3
# torch's convolutions may choose other kernels for two items than for one.
BATCH_TOLERANCE = 5e-6
# The gate of ONNX in float32.
ONNX_GATE = 2e-5
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
# Bottlenecks of 3x5, 9x10 and 4x9: odd and even, both ways round.
SIZES = [(24, 40), (72, 80), (32, 72)]
# The smallest sides: reflect padding needs more pixels than it adds, and a dilation of 8 adds 8.
LEAST = {"fourier": 16, "dilated": 72, "plain": 16}


@pytest.mark.parametrize("size", [(5, 7), (4, 9), (9, 4), (6, 6), (1, 2), (2, 1), (1, 1), (45, 61)])
def test_matrices_are_the_orthonormal_fourier_transform_of_real_planes(size: tuple[int, int]) -> None:
    x = torch.randn((2, 3, *size), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    basis = make_basis(x)
    expected = torch.fft.rfft2(x, norm="ortho")
    rows = torch.complex(x @ basis.row_cos, -(x @ basis.row_sin))
    spectrum = torch.complex(basis.column_cos, -basis.column_sin) @ rows
    assert (spectrum - expected).abs().max() < TRANSFORM_ROUNDING
    columns = torch.complex(basis.column_cos, basis.column_sin) @ expected
    back = columns.real @ basis.back_cos - columns.imag @ basis.back_sin
    assert (back - x).abs().max() < TRANSFORM_ROUNDING


def test_angles_of_a_large_plane_are_exact() -> None:
    """511 * 511 steps of 512 are -1 step, to the last bit."""
    basis = make_basis(torch.zeros(1, 1, 512, 8))
    assert basis.column_cos[511, 511] == basis.column_cos[1, 1]
    assert basis.column_sin[3, 341] == basis.column_sin[1, 511]


@pytest.mark.parametrize(
    ("kind", "base", "blocks", "downsamplings", "share"),
    [
        ("fourier", 8, 2, 3, 0.75),
        ("fourier", 4, 18, 3, 0.75),
        ("fourier", 8, 3, 2, 0.5),
        ("dilated", 4, 9, 3, 0),
        ("dilated", 8, 1, 2, 0),
        ("plain", 4, 9, 3, 0),
        ("plain", 8, 18, 2, 0),
    ],
)
def test_layout_is_told_from_keys_and_shapes_alone(
    kind: str, base: int, blocks: int, downsamplings: int, share: float
) -> None:
    state = make_state(kind, base, blocks, downsamplings, share)
    assert list_matching_architectures(state) == ["lama"]
    model = build_model(state)
    assert model.hyperparameters == {
        "base_channels": base,
        "downsamplings": downsamplings,
        "blocks": blocks,
        "global_channels": int(share * (base << downsamplings)),
        "dilations": DILATIONS if kind == "dilated" else 0,
    }
    least = LEAST[kind] // 8 << downsamplings
    for built in (model, build_model(state, raw=True)):
        for spec in (*built.inputs, *built.outputs):
            assert (spec.multiple_of, spec.minimum) == (1 << downsamplings, least)


@EVERY_KIND
def test_generator_is_found_in_the_training_file_with_wrappers(kind: str, tmp_path: Path) -> None:
    state = make_state(kind, 4, 1)
    path = write_checkpoint(tmp_path, kind, 4, 1)
    parallel = tmp_path / "parallel.pth"
    torch.save({f"module.{key}": value for key, value in state.items()}, parallel)
    average = tmp_path / "average.pth"
    torch.save({"params_ema": state}, average)
    for file in (path, parallel, average):
        checkpoint = read_checkpoint(file)
        assert reference.registry.identify(checkpoint).name == "lama"
        assert checkpoint.tensors.keys() == state.keys()


@EVERY_KIND
@pytest.mark.parametrize("size", SIZES)
def test_module_computes_what_upstream_publishes(kind: str, size: tuple[int, int]) -> None:
    if min(size) < LEAST[kind]:
        size = (72, 88)  # a bottleneck of 9x11
    state, (image, mask) = make_state(kind, 4, 2), make_planes(*size)
    result = build_model(state).module.double()(image, mask)
    expected = restate(state, kind, image, mask)
    hole = mask.bool().expand_as(result)
    assert result[hole].std() > 0.03
    assert float((result - expected).abs().max()) < ROUNDING


@pytest.mark.parametrize(
    ("kind", "mistake"),
    [
        *((kind, mistake) for kind in KINDS for mistake in ("wrong eps", "inverted mask")),
        *(("fourier", mistake) for mistake in ("no orthonormal scaling", "conjugate", "no residual")),
        ("dilated", "no dilation"),
        ("plain", "reflect padding at strides"),
    ],
)
def test_mistake_in_the_restatement_is_seen(kind: str, mistake: str) -> None:
    state, (image, mask) = make_state(kind, 4, 2), make_planes(72, 88)
    wrong = restate(state, kind, image, mask, mistake)
    assert float((build_model(state).module.double()(image, mask) - wrong).abs().max()) > MISTAKE


@EVERY_KIND
def test_stage_composites_and_ignores_what_lies_in_the_hole(kind: str) -> None:
    state, (image, mask) = make_state(kind, 4, 1), make_planes(72, 88)
    image, mask = image.float(), mask.float()
    stage, raw = build_model(state), build_model(state, raw=True)
    result = stage.module(image, mask)
    hole = mask.bool().expand_as(image)
    assert torch.equal(result[~hole], image[~hole])
    assert torch.equal(stage.module(image * (1 - mask), mask), result)
    feeds = raw.make_feeds(image.numpy(), image.numpy(), mask.numpy())
    assert torch.equal(raw.module(torch.from_numpy(feeds["x"]))[hole], result[hole])
    assert stage.module(image, torch.ones_like(mask)).isfinite().all()


@EVERY_KIND
def test_items_of_a_batch_do_not_mix(kind: str) -> None:
    module, (image, mask) = build_model(make_state(kind, 4, 1)).module, make_planes(72, 88)
    image, mask = image.float(), mask.float()
    both = module(image, mask)
    alone = torch.cat([module(image[i : i + 1], mask[i : i + 1]) for i in range(2)])
    assert float((both - alone).abs().max()) < BATCH_TOLERANCE


@pytest.fixture(scope="module")
def graphs() -> Mapping[str, ModelProto]:
    """The simplified graph of each kind, of two blocks."""
    models = {kind: build_model(make_state(kind, 4, 2)) for kind in KINDS}
    return {kind: simplify(export_onnx(model, model.module)) for kind, model in models.items()}


@EVERY_KIND
def test_exported_graph_computes_the_net_at_every_size(kind: str, graphs: Mapping[str, ModelProto]) -> None:
    """The bottleneck of 360x488 is 45x61."""
    check(graphs[kind])
    session = onnxruntime.InferenceSession(graphs[kind].SerializeToString(), providers=["CPUExecutionProvider"])
    least = LEAST[kind]
    for items, height, width in [(2, 72, 80), (1, least, least), (1, 360, 488), (3, least, least + 8)]:
        image, mask = make_planes(height, width, items)
        (actual,) = session.run(None, {"image": image.float().numpy(), "mask": mask.float().numpy()})
        expected = restate(make_state(kind, 4, 2), kind, image, mask)
        assert np.abs(actual - expected.numpy()).max() < ONNX_GATE


def test_graph_has_no_fourier_operator_and_one_set_of_matrices_for_all_blocks(
    graphs: Mapping[str, ModelProto],
) -> None:
    count = Counter(node.op_type for node in graphs["fourier"].graph.node)
    assert not count.keys() & {"DFT", "STFT", "Loop", "If"}
    assert (count["Range"], count["Cos"], count["Sin"], count["Mod"]) == (3, 2, 2, 2)


@EVERY_KIND
def test_batch_norms_are_folded_into_convolutions(kind: str, graphs: Mapping[str, ModelProto]) -> None:
    """Those behind sums of convolutions, too. That the numbers stay is proven by the rung "simplify"."""
    assert "BatchNormalization" not in {node.op_type for node in graphs[kind].graph.node}


@pytest.mark.parametrize("kind", ["fourier", "dilated"])
def test_size_that_the_net_does_not_take_is_refused(kind: str) -> None:
    model = build_model(make_state(kind, 4, 1))
    runner = TorchRunner(model.module, model.inputs, model.outputs)
    least = LEAST[kind]
    for size in ((least - 8, least), (least, least + 4)):
        with pytest.raises(FeedError, match="Pad it to a multiple of 8"):
            runner.run({"image": np.zeros((1, 3, *size), np.float32), "mask": np.zeros((1, 1, *size), np.float32)})


FOURIER, DILATED = make_state("fourier", 4, 1), make_state("dilated", 4, 1)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (without_key(FOURIER, "model.11.bias"), "1 missing (model.11.bias)"),
        (without_key(FOURIER, "model.5.conv2.ffc.convg2g.fu.bn.bias"), "fu.bn.bias)"),
        (
            FOURIER | {"model.5.conv1.ffc.gate.weight": torch.ones(2, 32, 1, 1)},
            "1 extra (model.5.conv1.ffc.gate.weight)",
        ),
        (FOURIER | {"model.5.conv1.ffc.convg2g.lfu.bn.bias": torch.ones(24)}, "1 extra (model.5.conv1.ffc.convg2g.lfu"),
        (
            FOURIER | {"model.1.ffc.convl2l.weight": torch.ones(4, 3, 7, 7)},
            "convl2l.weight is (4, 3, 7, 7), not (4, 4,",
        ),
        (
            DILATED | {"model.13.conv_block.0.convs.3.weight": torch.ones(32, 32, 3, 3)},
            "is (32, 32, 3, 3), not (32, 8,",
        ),
        (FOURIER | {"model.900.conv1.ffc.convl2l.weight": torch.ones(2)}, "The nearest is lama: "),
    ],
)
def test_nearest_architecture_is_named_with_what_differs(state: dict[str, Tensor], said: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        reference.registry.identify(make_checkpoint(state))
    assert said in str(caught.value)
    assert "The nearest is lama" in str(caught.value)


def test_weights_of_whole_numbers_are_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"'model\.11\.bias' is torch\.int64"):
        build_model({**FOURIER, "model.11.bias": FOURIER["model.11.bias"].long()})


def test_training_file_names_what_lies_beside_the_generator() -> None:
    """Or the fixture would not test that the generator is found among other nets."""
    state = make_lightning(FOURIER)["state_dict"]
    assert isinstance(state, dict)
    assert len({key.split(".")[0] for key in state}) == 4
