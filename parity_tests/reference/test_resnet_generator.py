"""CycleGAN's generator and Johnson's style transfer net: read from keys alone, held to a restatement."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import reference.registry
from converters.errors import ArchitectureError, ExportError, FeedError
from converters.runners import TorchRunner
from converters.sources.export_torch import fix_size
from parity_tests.support.reference_models import build_model, list_matching_architectures, make_checkpoint, without_key
from parity_tests.support.resnet_generator_states import (
    CYCLEGAN_LAYOUTS,
    LAYOUTS,
    STYLE,
    add_running_statistics,
    list_norms,
    make_state,
)

# float64 rounding through some ten layers of values of order 1 (style: 255).
ROUNDING = 1e-10
# What a mistake changes at least, millions of roundings; the least of those here, 1e-3, is the wrong eps in the style
# net, whose first norm sees values of some hundreds.
MISTAKE = 5e-4
# torch's convolutions choose other kernels for two items than for one.
BATCH_TOLERANCE = 5e-6
ARCHITECTURE = {layout: "style-transfer" if layout == STYLE else "cyclegan-resnet" for layout in LAYOUTS}
BATCH = "cyclegan, batch norm"
EVERY_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS)


def make_image(height: int = 16, width: int = 20, items: int = 2, channels: int = 3) -> Tensor:
    return torch.rand((items, channels, height, width), generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def restate(layout: str, state: Mapping[str, Tensor], image: Tensor, mistake: str = "") -> Tensor:
    """The published net in plain functions of float64 tensors; `mistake` names what is done wrong."""
    weights = {key: value.double() for key, value in state.items()}
    style = layout == STYLE

    def pad(x: Tensor, width: int) -> Tensor:
        return F.pad(x, [width] * 4, mode="constant" if mistake == "padded with zeros" else "reflect")

    def conv(x: Tensor, key: str, reflect: int = 0, **how: int) -> Tensor:
        key = f"{key}.conv2d" if style else key
        return F.conv2d(pad(x, reflect) if reflect else x, weights[f"{key}.weight"], weights.get(f"{key}.bias"), **how)

    def norm(x: Tensor, key: str) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        variance = x.var(dim=(2, 3), keepdim=True, unbiased=False)
        if f"{key}.running_mean" in weights and mistake != "the image's own statistics":
            mean, variance = (weights[f"{key}.running_{of}"][:, None, None] for of in ("mean", "var"))
        x = (x - mean) / (variance + (1e-3 if mistake == "wrong eps" else 1e-5)).sqrt()
        if f"{key}.weight" not in weights or mistake == "affine parameters ignored":
            return x
        return x * weights[f"{key}.weight"][:, None, None] + weights[f"{key}.bias"][:, None, None]

    def repeat(x: Tensor) -> Tensor:
        if mistake == "interpolated linearly":
            return F.interpolate(x, scale_factor=2, mode="bilinear")
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    if style:
        y = norm(conv(image * 255, "conv1", 4), "in1").relu()
        y = norm(conv(y, "conv2", 1, stride=2), "in2").relu()
        y = norm(conv(y, "conv3", 1, stride=2), "in3").relu()
        for block in ("res1", "res2"):
            inside = norm(conv(y, f"{block}.conv1", 1), f"{block}.in1").relu()
            y = y + norm(conv(inside, f"{block}.conv2", 1), f"{block}.in2")
        y = norm(conv(repeat(y), "deconv1", 1), "in4").relu()
        y = norm(conv(repeat(y), "deconv2", 1), "in5").relu()
        return conv(y, "deconv3", 4) / 255

    name, second, _, repeated = CYCLEGAN_LAYOUTS[layout]
    y = norm(conv(image * 2 - 1, "model.1", 3), "model.2").relu()
    y = norm(conv(y, "model.4", stride=2, padding=1), "model.5").relu()
    y = norm(conv(y, "model.7", stride=2, padding=1), "model.8").relu()
    for block in ("model.10", "model.11"):
        inside = norm(conv(y, f"{block}.{name}.1", 1), f"{block}.{name}.2").relu()
        y = y + norm(conv(inside, f"{block}.{name}.{second}", 1), f"{block}.{name}.{second + 1}")
    for at, after in ((13, 14), (17, 18)) if repeated else ((12, 13), (15, 16)):
        if repeated:
            y = conv(repeat(y), f"model.{at}", padding=1)
        else:
            missed = mistake == "output padding forgotten"
            kernel, bias = weights[f"model.{at}.weight"], weights.get(f"model.{at}.bias")
            y = F.conv_transpose2d(y, kernel, bias, stride=2, padding=1, output_padding=0 if missed else 1)
        y = norm(y, f"model.{after}").relu()
    return (conv(y, "model.21" if repeated else "model.19", 3).tanh() + 1) / 2


@EVERY_LAYOUT
def test_layout_is_told_from_keys_and_shapes_alone(layout: str) -> None:
    for base, blocks in ((8, 2), (6, 9), (4, 1)):
        model = build_model(make_state(layout, base, blocks))
        assert model.architecture == ARCHITECTURE[layout]
        hyperparameters = dict(model.hyperparameters)
        assert (hyperparameters.pop("base_channels"), hyperparameters.pop("blocks")) == (base, blocks)
        if layout != STYLE:
            _, second, norm, repeated = CYCLEGAN_LAYOUTS[layout]
            assert hyperparameters == {
                "affine_norms": norm != "plain",
                "batch_norms": norm == "batch",
                "dropout": second == 6,
                "pixels_repeated": repeated,
                "in_channels": 3,
                "out_channels": 3,
            }


@EVERY_LAYOUT
def test_no_other_architecture_fits(layout: str) -> None:
    assert list_matching_architectures(make_state(layout)) == [ARCHITECTURE[layout]]


@EVERY_LAYOUT
def test_built_module_holds_the_files_own_tensors(layout: str) -> None:
    state = make_state(layout)
    module = build_model(state, raw=True).module
    held = module.state_dict()
    assert {key for key in held if not key.endswith("num_batches_tracked")} == state.keys()
    assert all(torch.equal(held[key], state[key]) for key in state)
    assert not module.training


@EVERY_LAYOUT
def test_module_computes_what_upstream_publishes(layout: str) -> None:
    state, image = make_state(layout), make_image()
    result = build_model(state).module.double()(image)
    assert result.std() > 0.05
    assert float((result - restate(layout, state, image)).abs().max()) < ROUNDING


@pytest.mark.parametrize("channels", [(1, 1), (1, 3), (3, 1)])
@pytest.mark.parametrize("layout", CYCLEGAN_LAYOUTS)
def test_gray_net_is_told_by_its_shapes_and_sees_a_photo_in_gray(layout: str, channels: tuple[int, int]) -> None:
    state, image = make_state(layout, channels=channels), make_image(channels=channels[0])
    assert list_matching_architectures(state) == ["cyclegan-resnet"]
    model, raw = build_model(state), build_model(state, raw=True)
    assert (model.hyperparameters["in_channels"], model.hyperparameters["out_channels"]) == channels
    for built in (model, raw):
        assert (built.inputs[0].shape[1], built.outputs[0].shape[1]) == channels
    result = model.module.double()(image)
    assert result.shape == (2, channels[1], 16, 20)
    assert float((result - restate(layout, state, image)).abs().max()) < ROUNDING
    photo = make_image().float().numpy()
    (given,), (x,) = (built.make_feeds(photo, photo, photo).values() for built in (model, raw))
    if channels[0] == 1:
        gray = 0.299 * photo[:, :1] + 0.587 * photo[:, 1:2] + 0.114 * photo[:, 2:]
        assert np.abs(given - gray).max() < 1e-6  # one float32 sum in another order
    else:
        assert np.array_equal(given, photo)
    assert given.dtype == x.dtype == np.float32
    assert np.array_equal(x, 2 * given - 1)


def test_counters_of_batch_norms_are_not_needed_and_not_read() -> None:
    counted = add_running_statistics(BATCHED, list_norms(BATCH), count=True) | BATCHED
    assert len(counted) == len(BATCHED) + len(list_norms(BATCH))
    image = make_image().float()
    assert torch.equal(build_model(counted).module(image), build_model(BATCHED).module(image))


MISTAKES = [
    *((layout, mistake) for layout in LAYOUTS for mistake in ("wrong eps", "padded with zeros")),
    *((layout, "affine parameters ignored") for layout in ("cyclegan, affine", BATCH, "vintagify", STYLE)),
    (BATCH, "the image's own statistics"),
    *((layout, "interpolated linearly") for layout in ("pytorch-gan", STYLE)),
]


@pytest.mark.parametrize(("layout", "mistake"), MISTAKES)
def test_mistake_in_the_restatement_is_seen(layout: str, mistake: str) -> None:
    state, image = make_state(layout), make_image()
    wrong = restate(layout, state, image, mistake)
    assert float((build_model(state).module.double()(image) - wrong).abs().max()) > MISTAKE


@pytest.mark.parametrize("layout", [layout for layout in CYCLEGAN_LAYOUTS if layout != "pytorch-gan"])
def test_output_padding_that_is_forgotten_gives_another_size(layout: str) -> None:
    state, image = make_state(layout), make_image()
    assert build_model(state).module.double()(image).shape == image.shape
    assert restate(layout, state, image, "output padding forgotten").shape == (2, 3, 13, 17)


@EVERY_LAYOUT
def test_stage_maps_the_ranges_and_the_raw_net_keeps_its_own(layout: str) -> None:
    state, image = make_state(layout), make_image()
    stage, raw = build_model(state), build_model(state, raw=True)
    stage.module.double()
    raw.module.double()
    photo = image.numpy()
    feeds = raw.make_feeds(photo.astype(np.float32), photo[:, :1], photo[:, :1])
    assert feeds["x"].dtype == np.float32
    given, (y,) = torch.from_numpy(feeds["x"]).double(), raw.outputs
    low, high = raw.inputs[0].value_range or (0, 0)
    assert (low, high) == ((0, 255) if layout == STYLE else (-1, 1))
    assert low <= given.min() < low + (high - low) / 10
    assert high - (high - low) / 10 < given.max() <= high
    picture = raw.module(given)
    mapped = (picture - low) / (high - low)
    seen = torch.from_numpy(photo.astype(np.float32)).double()
    # float32 feeds differ from the float64 image by one rounding, which the net makes somewhat larger.
    assert float((stage.module(seen) - mapped).abs().max()) < 1e-4
    (result,) = stage.outputs
    assert (result.value_range, y.value_range) == ((None, None) if layout == STYLE else ((0, 1), (-1, 1)))
    for spec in (*stage.inputs, *stage.outputs, *raw.inputs, y):
        assert (spec.shape, spec.multiple_of, spec.minimum) == (("N", 3, "H", "W"), 4, 8)


@EVERY_LAYOUT
def test_items_of_a_batch_do_not_mix(layout: str) -> None:
    module, image = build_model(make_state(layout)).module, make_image().float()
    both, alone = module(image), torch.cat([module(image[:1]), module(image[1:])])
    assert float((both[0] - both[1]).abs().max()) > MISTAKE
    assert float((both - alone).abs().max()) < BATCH_TOLERANCE


@EVERY_LAYOUT
def test_smallest_size_is_computed_and_sizes_that_would_come_back_larger_are_refused(layout: str) -> None:
    model = build_model(make_state(layout))
    runner = TorchRunner(model.module, model.inputs, model.outputs)
    assert runner.run({"image": np.full((1, 3, 8, 12), 0.5, np.float32)})["result"].shape == (1, 3, 8, 12)
    for size in ((10, 12), (12, 9), (4, 12)):
        with pytest.raises(FeedError, match="Pad it to a multiple of 4, 8 or more"):
            runner.run({"image": np.zeros((1, 3, *size), np.float32)})
    with pytest.raises(ExportError, match=f"{ARCHITECTURE[layout]} takes multiples of 4, 8 or more"):
        fix_size(model, (10, 12))


@pytest.mark.parametrize("layout", ["cyclegan", "cyclegan with dropout", "pytorch-gan", STYLE])
def test_running_statistics_of_old_files_are_left_out_as_upstream_leaves_them_out(layout: str) -> None:
    state = make_state(layout)
    old = add_running_statistics(state, list_norms(layout), count=layout != STYLE)
    assert len(old) - len(state) == len(list_norms(layout)) * (2 if layout == STYLE else 3)
    model, image = build_model(old), make_image().float()
    assert model.hyperparameters == build_model(state).hyperparameters
    assert torch.equal(model.module(image), build_model(state).module(image))


NET, AFFINE, REPEATED = make_state("cyclegan"), make_state("cyclegan, affine"), make_state("pytorch-gan")
STYLED, BATCHED = make_state(STYLE), make_state(BATCH)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (without_key(NET, "model.12.bias"), "cyclegan-resnet: 1 missing (model.12.bias)"),
        (without_key(NET, "model.11.conv_block.5.weight"), "1 missing (model.11.conv_block.5.weight)"),
        (without_key(AFFINE, "model.11.conv_block.6.bias"), "1 missing (model.11.conv_block.6.bias)"),
        (without_key(REPEATED, "model.17.weight"), "1 missing (model.17.weight)"),
        (NET | {"model.1.weight": torch.ones(8, 4, 7, 7)}, "model.1.weight is (8, 4, 7, 7), not (8, 3, 7, 7)"),
        (without_key(BATCHED, "model.8.running_var"), "1 missing (model.8.running_var)"),
        (BATCHED | {"model.4.bias": torch.ones(16)}, "1 extra (model.4.bias)"),
        (NET | {"model.10.conv_block.9.weight": torch.ones(2)}, "1 extra (model.10.conv_block.9.weight)"),
        (NET | {"model.5.running_mean": torch.ones(3)}, "1 misshapen (model.5.running_mean is (3,), not (16,))"),
        (without_key(STYLED, "res2.in1.weight"), "style-transfer: 1 missing (res2.in1.weight)"),
        (STYLED | {"in6.running_mean": torch.ones(4)}, "style-transfer: 1 extra (in6.running_mean)"),
        # Behind a convolution with a bias: no key tells whose they are.
        (add_running_statistics(AFFINE, {"model.2": 8}), "2 extra (model.2.running_mean, model.2.running_var)"),
        (NET | {"model.1.weight": torch.ones(0)}, "model.1.weight is (0,)"),
        (NET | {"model.999.conv_block.1.bias": torch.ones(1)}, "The nearest is cyclegan-resnet: "),
        (NET | {"model.9.conv_block.1.bias": torch.ones(1)}, "1 extra (model.9.conv_block.1.bias)"),
    ],
)
def test_nearest_architecture_is_named_with_what_differs(state: dict[str, Tensor], said: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        reference.registry.identify(make_checkpoint(state))
    assert "The nearest is " in str(caught.value)
    assert said in str(caught.value)


def test_weights_of_whole_numbers_are_refused() -> None:
    for state, key in ((NET, "model.1.bias"), (STYLED, "in1.bias")):
        with pytest.raises(ArchitectureError, match=f"'{key}' is torch.int64. Save the weights as floating point"):
            build_model({**state, key: state[key].long()})
