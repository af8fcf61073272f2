"""MI-GAN: read from keys alone, held to a restatement; its noise at every size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import reference.registry
from converters.errors import ArchitectureError
from converters.onnx_graph.clean import check
from converters.onnx_graph.simplify import simplify
from converters.sources.export_torch import export_onnx
from parity_tests.support.migan_states import list_resolutions, make_state, write_checkpoint
from parity_tests.support.reference_models import (
    build_model,
    list_matching_architectures,
    make_checkpoint,
    make_planes,
    without_key,
)
from reference.checkpoint import read_checkpoint
from reference.migan import tile

# float64 rounding through some ten layers of values of order 1.
ROUNDING = 1e-10
# What a mistake changes at least, millions of roundings.
MISTAKE = 1e-3
# torch's convolutions may choose other kernels for two items than for one.
BATCH_TOLERANCE = 5e-6
# The gate of ONNX in float32.
ONNX_GATE = 2e-5
RESOLUTION = 32


def restate(
    state: Mapping[str, Tensor], image: Tensor, mask: Tensor, resolution: int = RESOLUTION, mistake: str = ""
) -> Tensor:
    """The published net in plain functions of float64 tensors; `mistake` names what is done wrong.

    At other sizes than the file's own, its constants are tiled; upstream does not run there.
    """
    weights = {key: value.double() for key, value in state.items()}

    def spread(constant: Tensor, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        repeated = constant.repeat(-(-height // constant.shape[-2]), -(-width // constant.shape[-1]))
        return repeated[:height, :width]

    def activate(x: Tensor) -> Tensor:
        x = torch.where(x < 0, 0.2 * x, x) * (1 if mistake == "no gain" else 2**0.5)
        return x.clamp(-256, 256)

    def upsample(x: Tensor, at: str) -> Tensor:
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = x * spread(weights[f"{at}.filter_const"][0, 0], x)
        pads = (1, 2, 1, 2) if mistake == "upsampling shifted" else (2, 1, 2, 1)
        return F.conv2d(F.pad(x, pads), weights[f"{at}.filter.weight"], groups=x.shape[1])

    def separable(x: Tensor, at: str) -> Tensor:
        first = weights[f"{at}.conv1.weight"]
        x = activate(F.conv2d(x, first, weights[f"{at}.conv1.bias"], padding=1, groups=first.shape[0]))
        if f"{at}.downsample.filter.weight" in weights:
            blur = weights[f"{at}.downsample.filter.weight"]
            x = F.conv2d(x, blur, stride=2, padding=1, groups=blur.shape[0])
        x = F.conv2d(x, weights[f"{at}.conv2.weight"])
        if f"{at}.upsample.filter.weight" in weights:
            x = upsample(x, f"{at}.upsample")
        if f"{at}.noise_const" in weights and mistake != "no noise":
            x = x + spread(weights[f"{at}.noise_const"], x) * weights[f"{at}.noise_strength"]
        return activate(x)

    def to_rgb(x: Tensor, at: str) -> Tensor:
        return F.conv2d(x, weights[f"{at}.torgb.weight"], weights[f"{at}.torgb.bias"])

    known = mask if mistake == "inverted mask" else 1 - mask
    x = torch.cat([known - 0.5, (image * 2 - 1) * (1 - mask)], 1)
    at = f"encoder.b{resolution}.fromrgb"
    x = activate(F.conv2d(x, weights[f"{at}.weight"], weights[f"{at}.bias"]))
    sizes, skips = list_resolutions(resolution), {}
    for size in reversed(sizes):
        skips[size] = separable(x, f"encoder.b{size}.conv1")
        x = separable(skips[size], f"encoder.b{size}.conv2")
    picture: Tensor | None = None
    for size in sizes:
        x = separable(x, f"synthesis.b{size}.conv1") + skips[size]
        x = separable(x, f"synthesis.b{size}.conv2")
        y = to_rgb(x, f"synthesis.b{size}")
        picture = y if picture is None else upsample(picture, f"synthesis.b{size}.upsample") + y
    assert picture is not None
    return (picture * 0.5 + 0.5) * mask + image * (1 - mask)


@pytest.mark.parametrize(
    ("resolution", "base", "most"), [(32, 128, 8), (256, 1024, 8), (512, 2048, 16), (8, 64, 8), (1024, 4096, 4)]
)
def test_sizes_are_told_from_keys_and_shapes_alone(resolution: int, base: int, most: int) -> None:
    state = make_state(resolution, base, most)
    assert list_matching_architectures(state) == ["mi-gan"]
    model = build_model(state)
    assert model.hyperparameters == {
        "resolution": resolution,
        "base_channels": min(base // resolution, most),
        "most_channels": most,
    }
    multiple = resolution // 4
    for built in (model, build_model(state, raw=True)):
        assert {(spec.multiple_of, spec.minimum) for spec in (*built.inputs, *built.outputs)} == {(multiple, multiple)}


def test_generator_is_found_in_wrappers(tmp_path: Path) -> None:
    state = make_state(RESOLUTION)
    torch.save({"state_dict": {f"generator.{k}": v for k, v in state.items()}, "epoch": 1}, tmp_path / "last.ckpt")
    torch.save({f"module.{k}": v for k, v in state.items()}, tmp_path / "parallel.pth")
    torch.save({"generator_ema": state}, tmp_path / "ema.pth")
    wrapped = [tmp_path / name for name in ("last.ckpt", "parallel.pth", "ema.pth")]
    for file in (write_checkpoint(tmp_path, RESOLUTION), *wrapped):
        checkpoint = read_checkpoint(file)
        assert reference.registry.identify(checkpoint).name == "mi-gan"
        assert checkpoint.tensors.keys() == state.keys()


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (8, 16), (72, 64)])
def test_module_computes_what_upstream_publishes(size: tuple[int, int]) -> None:
    """At the file's resolution, and with its noise cut off and repeated."""
    state, (image, mask) = make_state(RESOLUTION), make_planes(*size)
    result = build_model(state).module.double()(image, mask)
    assert result[mask.bool().expand_as(result)].std() > 0.05
    assert float((result - restate(state, image, mask)).abs().max()) < ROUNDING


@pytest.mark.parametrize("mistake", ["no gain", "no noise", "upsampling shifted", "inverted mask"])
def test_mistake_in_the_restatement_is_seen(mistake: str) -> None:
    state, (image, mask) = make_state(RESOLUTION), make_planes(32, 40)
    wrong = restate(state, image, mask, mistake=mistake)
    assert float((build_model(state).module.double()(image, mask) - wrong).abs().max()) > MISTAKE


def test_noise_is_cut_off_or_repeated_without_being_changed() -> None:
    noise = torch.arange(16.0).reshape(4, 4)
    assert torch.equal(tile(noise, torch.zeros(1, 1, 4, 4)), noise)
    assert torch.equal(tile(noise, torch.zeros(1, 1, 2, 3)), noise[:2, :3])
    assert torch.equal(tile(noise, torch.zeros(1, 1, 6, 9)), noise.repeat(2, 3)[:6, :9])


def test_stage_composites_and_ignores_what_lies_in_the_hole() -> None:
    state, (image, mask) = make_state(RESOLUTION), make_planes(32, 48)
    image, mask = image.float(), mask.float()
    stage, raw = build_model(state), build_model(state, raw=True)
    result, hole = stage.module(image, mask), mask.bool().expand_as(image)
    assert torch.equal(result[~hole], image[~hole])
    assert torch.equal(stage.module(image * (1 - mask), mask), result)
    feeds = raw.make_feeds(image.numpy(), image.numpy(), mask.numpy())
    picture = (raw.module(torch.from_numpy(feeds["x"])) + 1) / 2
    assert torch.equal(picture[hole], result[hole])
    assert stage.module(image, torch.ones_like(mask)).isfinite().all()


def test_items_of_a_batch_do_not_mix() -> None:
    module, (image, mask) = build_model(make_state(RESOLUTION)).module, make_planes(32, 48)
    image, mask = image.float(), mask.float()
    alone = torch.cat([module(image[i : i + 1], mask[i : i + 1]) for i in range(2)])
    assert float((module(image, mask) - alone).abs().max()) < BATCH_TOLERANCE


def test_exported_graph_computes_the_net_at_every_size() -> None:
    state = make_state(RESOLUTION)
    model = build_model(state)
    graph = simplify(export_onnx(model, model.module))
    check(graph)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for items, height, width in [(2, 32, 32), (1, 8, 8), (1, 104, 72), (3, 24, 40)]:
        image, mask = make_planes(height, width, items)
        (actual,) = session.run(None, {"image": image.float().numpy(), "mask": mask.float().numpy()})
        assert np.abs(actual - restate(state, image, mask).numpy()).max() < ONNX_GATE


STATE = make_state(RESOLUTION)
CONSTANT = "synthesis.b16.upsample.filter_const"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (without_key(STATE, "encoder.b4.conv2.conv1.bias"), "1 missing (encoder.b4.conv2.conv1.bias)"),
        (without_key(STATE, "synthesis.b8.conv2.noise_const"), "1 missing (synthesis.b8.conv2.noise_const)"),
        (STATE | {"mapping.fc0.weight": torch.ones(4, 4)}, "1 extra (mapping.fc0.weight)"),
        (STATE | {"synthesis.b8.conv1.noise_const": torch.ones(9, 9)}, "noise_const is (9, 9), not (8, 8)"),
        (STATE | {"encoder.b64.conv1.conv1.bias": torch.ones(4)}, "The nearest is mi-gan"),
        (STATE | {"encoder.b33.conv1.conv1.bias": torch.ones(4)}, "The nearest is mi-gan"),
    ],
)
def test_nearest_architecture_is_named_with_what_differs(state: dict[str, Tensor], said: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        reference.registry.identify(make_checkpoint(state))
    assert said in str(caught.value)
    assert "The nearest is mi-gan" in str(caught.value)


def test_file_whose_upsampling_picks_other_pixels_is_refused() -> None:
    shifted = STATE[CONSTANT].roll(1, 3)
    with pytest.raises(ArchitectureError, match=f"'{CONSTANT}' is not 1 at every second row and column"):
        build_model({**STATE, CONSTANT: shifted})


def test_weights_of_whole_numbers_are_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"noise_strength' is torch\.int64"):
        build_model({**STATE, "synthesis.b8.conv1.noise_strength": torch.tensor(1)})
