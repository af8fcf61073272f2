"""pix2pix's U-Net: read from keys alone, held to a restatement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import reference.registry
from converters.convert import Settings, convert
from converters.errors import ArchitectureError, FeedError
from converters.runners import TorchRunner
from parity_tests.support.pix2pix_unet_states import NORMS, make_state, name_block, write_checkpoint
from parity_tests.support.reference_models import build_model, list_matching_architectures, make_checkpoint, without_key
from parity_tests.support.resnet_generator_states import add_running_statistics

# float64 rounding through some ten layers of values of order 1.
ROUNDING = 1e-10
# What a mistake changes at least, millions of roundings.
MISTAKE = 1e-3
# torch's convolutions may choose other kernels for two items than for one.
BATCH_TOLERANCE = 5e-6
DEPTH = 5
EVERY_NORM = pytest.mark.parametrize("norm", NORMS)


def make_image(height: int = 64, width: int = 32, items: int = 2, channels: int = 3) -> Tensor:
    random = torch.Generator().manual_seed(3)
    return torch.rand((items, channels, height, width), generator=random, dtype=torch.float64)


def restate(state: Mapping[str, Tensor], image: Tensor, depth: int = DEPTH, mistake: str = "") -> Tensor:
    """The published net in plain functions of float64 tensors; `mistake` names what is done wrong."""
    weights = {key: value.double() for key, value in state.items()}

    def conv(x: Tensor, key: str, *, transposed: bool = False) -> Tensor:
        run = F.conv_transpose2d if transposed else F.conv2d
        return run(x, weights[f"{key}.weight"], weights.get(f"{key}.bias"), stride=2, padding=1)

    def norm(x: Tensor, key: str) -> Tensor:
        mean, variance = x.mean(dim=(2, 3), keepdim=True), x.var(dim=(2, 3), keepdim=True, unbiased=False)
        if f"{key}.running_mean" in weights and mistake != "the image's own statistics":
            mean, variance = (weights[f"{key}.running_{of}"][:, None, None] for of in ("mean", "var"))
        x = (x - mean) / (variance + (1e-2 if mistake == "wrong eps" else 1e-5)).sqrt()
        if f"{key}.weight" not in weights:
            return x
        return x * weights[f"{key}.weight"][:, None, None] + weights[f"{key}.bias"][:, None, None]

    def block(x: Tensor, level: int) -> Tensor:
        at = name_block(level)
        x = F.leaky_relu(x, 0.1 if mistake == "wrong slope" else 0.2)  # in place in upstream: the skip has it, too
        y = conv(x, f"{at}1")
        if level < depth - 1:
            y = block(norm(y, f"{at}2"), level + 1)
        last, after = (3, 4) if level == depth - 1 else (5, 6)
        y = norm(conv(y.relu(), f"{at}{last}", transposed=True), f"{at}{after}")
        return torch.cat([y, x] if mistake == "skip in the wrong place" else [x, y], dim=1)

    y = block(conv(image * 2 - 1, "model.model.0"), 1)
    return (conv(y.relu(), "model.model.3", transposed=True).tanh() + 1) / 2


@EVERY_NORM
@pytest.mark.parametrize(
    ("depth", "base", "channels"), [(5, 4, (3, 3)), (7, 8, (3, 3)), (8, 4, (1, 3)), (6, 2, (3, 1)), (10, 1, (3, 3))]
)
def test_layout_is_told_from_keys_and_shapes_alone(depth: int, base: int, channels: tuple[int, int], norm: str) -> None:
    state = make_state(norm, depth, base, channels)
    assert list_matching_architectures(state) == ["pix2pix-unet"]
    model = build_model(state)
    assert model.hyperparameters == {
        "base_channels": base,
        "depth": depth,
        "batch_norms": norm == "batch",
        "in_channels": channels[0],
        "out_channels": channels[1],
    }
    for built in (model, build_model(state, raw=True)):
        for spec, count in zip((*built.inputs, *built.outputs), channels, strict=True):
            assert (spec.shape, spec.multiple_of, spec.minimum) == (("N", count, "H", "W"), 2**depth, 2**depth)


@EVERY_NORM
@pytest.mark.parametrize(("depth", "channels"), [(5, (3, 3)), (6, (1, 1)), (5, (1, 3)), (7, (3, 1))])
def test_module_computes_what_upstream_publishes(norm: str, depth: int, channels: tuple[int, int]) -> None:
    state, image = make_state(norm, depth, channels=channels), make_image(2**depth, 2 ** (depth + 1), 2, channels[0])
    result = build_model(state).module.double()(image)
    assert result.shape == (2, channels[1], 2**depth, 2 ** (depth + 1))
    assert result.std() > 0.05
    assert float((result - restate(state, image, depth)).abs().max()) < ROUNDING


@pytest.mark.parametrize(
    ("norm", "mistake"),
    [
        *((norm, mistake) for norm in NORMS for mistake in ("wrong eps", "wrong slope", "skip in the wrong place")),
        ("batch", "the image's own statistics"),
    ],
)
def test_mistake_in_the_restatement_is_seen(norm: str, mistake: str) -> None:
    state, image = make_state(norm, DEPTH), make_image()
    wrong = restate(state, image, mistake=mistake)
    assert float((build_model(state).module.double()(image) - wrong).abs().max()) > MISTAKE


@EVERY_NORM
def test_innermost_block_matters(norm: str) -> None:
    """Or the fixture would hide a net whose depths are swapped."""
    state, image = make_state(norm, DEPTH), make_image()
    key = f"{name_block(DEPTH - 1)}1.weight"
    changed = build_model(state | {key: -state[key]}).module.double()(image)
    assert float((changed - build_model(state).module.double()(image)).abs().max()) > MISTAKE


@EVERY_NORM
def test_built_module_holds_the_files_own_tensors(norm: str) -> None:
    state = make_state(norm, DEPTH)
    module = build_model(state, raw=True).module
    held = module.state_dict()
    assert held.keys() == state.keys()
    assert all(torch.equal(held[key], state[key]) for key in state if not key.endswith("num_batches_tracked"))
    assert not module.training


@EVERY_NORM
def test_stage_maps_the_ranges_and_sees_a_photo_in_gray_where_the_net_is_gray(norm: str) -> None:
    state, photo = make_state(norm, DEPTH, channels=(1, 3)), make_image().float().numpy()
    stage, raw = build_model(state), build_model(state, raw=True)
    (image,), (x,) = (built.make_feeds(photo, photo, photo).values() for built in (stage, raw))
    gray = 0.299 * photo[:, :1] + 0.587 * photo[:, 1:2] + 0.114 * photo[:, 2:]
    assert np.abs(image - gray).max() < 1e-6  # one float32 sum in another order
    assert np.array_equal(x, 2 * image - 1)
    picture = raw.module(torch.from_numpy(x))
    assert torch.equal(stage.module(torch.from_numpy(image)), (picture + 1) / 2)
    assert (stage.outputs[0].value_range, raw.outputs[0].value_range) == ((0, 1), (-1, 1))


@EVERY_NORM
def test_items_of_a_batch_do_not_mix(norm: str) -> None:
    module, image = build_model(make_state(norm, DEPTH)).module, make_image().float()
    both, alone = module(image), torch.cat([module(image[:1]), module(image[1:])])
    assert float((both[0] - both[1]).abs().max()) > MISTAKE
    assert float((both - alone).abs().max()) < BATCH_TOLERANCE


def test_size_that_would_come_back_otherwise_is_refused() -> None:
    model = build_model(make_state(depth=DEPTH))
    runner = TorchRunner(model.module, model.inputs, model.outputs)
    assert runner.run({"image": np.full((1, 3, 32, 64), 0.5, np.float32)})["result"].shape == (1, 3, 32, 64)
    for size in ((48, 32), (32, 33), (16, 32)):
        with pytest.raises(FeedError, match="Pad it to a multiple of 32"):
            runner.run({"image": np.zeros((1, 3, *size), np.float32)})


def test_what_upstream_does_not_read_may_be_there_or_not() -> None:
    """The counters of batch norms; running statistics beside instance norms, in files of 2017."""
    batch, instance, image = make_state("batch", DEPTH), make_state("instance", DEPTH), make_image().float()
    bare = {key: value for key, value in batch.items() if not key.endswith("num_batches_tracked")}
    norms = {f"{name_block(level)}{6 if level < DEPTH - 1 else 4}": 8 * 2 ** (level - 1) for level in range(1, DEPTH)}
    for state, other in ((batch, bare), (instance, add_running_statistics(instance, norms, count=True))):
        assert len(state) != len(other)
        assert torch.equal(build_model(state).module(image), build_model(other).module(image))


BATCH, INSTANCE = make_state("batch", DEPTH), make_state("instance", DEPTH)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (without_key(BATCH, "model.model.3.bias"), "1 missing (model.model.3.bias)"),
        (without_key(BATCH, f"{name_block(2)}2.running_var"), f"1 missing ({name_block(2)}2.running_var)"),
        (without_key(INSTANCE, f"{name_block(4)}3.bias"), f"1 missing ({name_block(4)}3.bias)"),
        (BATCH | {f"{name_block(3)}5.bias": torch.ones(64)}, f"1 extra ({name_block(3)}5.bias)"),
        (BATCH | {"model.model.0.weight": torch.ones(8, 4, 4, 4)}, "model.model.0.weight is (8, 4, 4, 4), not (8, 3,"),
        (BATCH | {f"{name_block(11)}1.weight": torch.ones(2)}, "The nearest is pix2pix-unet: "),
        (BATCH | {f"{name_block(5000)}1.weight": torch.ones(2)}, "The nearest is pix2pix-unet: "),
    ],
)
def test_nearest_architecture_is_named_with_what_differs(state: dict[str, Tensor], said: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        reference.registry.identify(make_checkpoint(state))
    assert said in str(caught.value)
    assert "The nearest is pix2pix-unet" in str(caught.value)


def test_weights_of_whole_numbers_are_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"'model\.model\.3\.bias' is torch\.int64"):
        build_model({**BATCH, "model.model.3.bias": BATCH["model.model.3.bias"].long()})


@pytest.mark.parametrize("raw", [False, True])
def test_net_with_instance_norm_converts(raw: bool, tmp_path: Path) -> None:
    """The one with batch norm is converted with all architectures."""
    path = write_checkpoint(tmp_path, "instance")
    (made,) = convert([path], Settings(("onnx", "mxnet", "trt"), tmp_path, raw=raw), lambda step: None)
    assert all(report.passed for report in made.reports)
    assert {"onnx", "mxnet"} <= {report.rung for report in made.reports}
    assert {artifact.target for artifact in made.bundle.manifest.artifacts} == {"onnx", "mxnet", "trt"}
