"""Partial convolutions: the layer by hand, the net against a literal one with a mask per channel, both layouts."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import reference.registry
from converters.errors import ArchitectureError, FeedError
from converters.onnx_graph.simplify import simplify
from converters.runners import OnnxRunner
from converters.sources.export_torch import export_onnx
from converters.tensors import check_feeds
from parity_tests.support.partial_conv_nets import (
    BASE,
    LAYERS,
    MAX_RUNTIME_DIFFERENCE,
    SEED,
    build_net,
    make_all_but_a_corner,
    make_hole,
    make_photo,
    max_abs_difference,
)
from parity_tests.support.partial_conv_states import LAYOUTS, make_state, write_checkpoint
from parity_tests.support.reference_models import build_model, list_matching_architectures, make_checkpoint, without_key
from reference.checkpoint import read_checkpoint
from reference.partial_conv import PartialConv

# Sums of a few whole numbers and one division in float32.
BY_HAND = 1e-4
# The same sums in another order in float64, on values of magnitude 1.
FLOAT64 = 1e-9
# float32 weights times the window's size, rounded once, through eight layers on values of magnitude 1.
BETWEEN_LAYOUTS = 1e-5
# oneDNN may sum in another order for another batch size; measured 4e-7; its own statistics make it 0.3.
BETWEEN_BATCHES = 2e-6
PLAIN_OPS = {"Add", "BatchNormalization", "Clip", "Concat", "Conv", "Div", "LeakyRelu", "Mul", "Relu", "Resize", "Sub"}


def plane(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)[None, None]


# One known value in a corner, two at the opposite one; what the paper's formula makes of them with weights of 1.
KNOWN = plane([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 1]])
VALUES = plane([[1, 99, 99, 99, 99], [99] * 5, [99] * 5, [99] * 5, [99, 99, 99, 44, 45]])
MEANS = plane([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0] * 5, [0, 0, 44, 44.5, 44.5], [0, 0, 44, 44.5, 44.5]])
REACHED = plane([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0] * 5, [0, 0, 1, 1, 1], [0, 0, 1, 1, 1]])
MEANS_BY_TWO = plane([[1, 0, 0], [0, 0, 0], [0, 44, 44.5]])
REACHED_BY_TWO = plane([[1, 0, 0], [0, 0, 0], [0, 1, 1]])


def make_layer(cin: int, stride: int, share: bool, bias: float | None = None) -> PartialConv:
    """3x3, weights of 1, one output channel."""
    layer = PartialConv(cin, 1, 3, stride, bias is not None, share).requires_grad_(False)
    layer.weight.fill_(1)
    if layer.bias is not None:
        layer.bias.fill_(bias)
    return layer


@pytest.mark.parametrize(("share", "factor"), [(True, 9), (False, 1)], ids=["by share", "by count"])
@pytest.mark.parametrize(
    ("stride", "means", "reached"),
    [(1, MEANS, REACHED), (2, MEANS_BY_TWO, REACHED_BY_TWO)],
    ids=["stride 1", "stride 2"],
)
@pytest.mark.parametrize("bias", [None, 0.5, -2.0])
def test_window_is_renormalised_by_its_known_values_and_the_mask_grows(
    stride: int, means: Tensor, reached: Tensor, share: bool, factor: int, bias: float | None
) -> None:
    y, valid = make_layer(1, stride, share, bias)((VALUES, KNOWN))
    assert torch.equal(valid, reached)
    expected = means * factor + reached * (bias or 0)
    assert max_abs_difference(y, expected) < BY_HAND
    assert not y[reached == 0].any()  # nor the bias where nothing is known


def test_border_counts_as_hole_and_is_renormalised_away() -> None:
    y, valid = make_layer(1, 1, share=True)((torch.ones(1, 1, 3, 4), torch.ones(1, 1, 3, 4)))
    assert max_abs_difference(y, torch.full((1, 1, 3, 4), 9.0)) < BY_HAND
    assert torch.equal(valid, torch.ones(1, 1, 3, 4))


# On a 2x2 plane every 3x3 window sees all of it: 1 + 2 of the first source; 10 and 2 * 100, or 10 + 100, of the second.
FIRST = (plane([[1, 2], [3, 4]]), plane([[1, 1], [0, 0]]))
SECOND = torch.cat([plane([[10, 10], [10, 10]]), plane([[100, 100], [100, 100]])], 1)
PER_CHANNEL = torch.cat([plane([[0, 0], [0, 1]]), plane([[0, 1], [1, 0]])], 1)


@pytest.mark.parametrize(
    ("mask", "mean"),
    [(PER_CHANNEL, 213 / 5), (plane([[0, 1], [0, 0]]), 113 / 4)],
    ids=["a mask per channel", "one for both"],
)
@pytest.mark.parametrize(("share", "factor"), [(True, 27), (False, 1)], ids=["by share", "by count"])
def test_all_channels_of_all_sources_are_counted(mask: Tensor, mean: float, share: bool, factor: int) -> None:
    y, valid = make_layer(3, 1, share)(FIRST, (SECOND, mask))
    assert torch.allclose(y, torch.full((1, 1, 2, 2), mean * factor), rtol=1e-6, atol=0)
    assert torch.equal(valid, torch.ones(1, 1, 2, 2))


def literal_net(state: Mapping[str, Tensor], x: Tensor, valid: Tensor, layers: int) -> Tensor:
    """The published net in float64, a mask for each channel, holes cut out by comparison.

    Args:
        x: (N, 3, H, W), normalised.
        valid: (N, 3, H, W), 1 is known.
    """
    state = {key: value.double() for key, value in state.items()}

    def layer(key: str, x: Tensor, valid: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        conv = f"{key}.conv.input_conv" if f"{key}.conv.input_conv.weight" in state else f"{key}.conv"
        weight = state[f"{conv}.weight"]
        padding = weight.shape[-1] // 2
        counts = F.conv2d(valid, torch.ones_like(weight), None, stride, padding)
        product = F.conv2d(x * valid, weight, None, stride, padding)
        if conv.endswith(".conv"):
            product = product * weight[0].numel()
        bias = state.get(f"{conv}.bias", torch.zeros(len(weight), dtype=torch.float64))
        y = torch.where(counts == 0, 0, product / counts + bias[:, None, None])
        if f"{key}.bn.weight" in state:
            mean, var, gain, shift = (
                state[f"{key}.bn.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
            )
            y = (y - mean) / torch.sqrt(var + 1e-5) * gain + shift
        return y, (counts > 0).double()

    features, masks = [x.double()], [valid.double()]
    for number in range(1, layers + 1):
        y, mask = layer(f"enc_{number}", features[-1], masks[-1], 2)
        features.append(y.clamp(min=0))
        masks.append(mask)
    y, mask = features.pop(), masks.pop()
    for number in range(layers, 0, -1):
        y, mask = (plane.repeat_interleave(2, 2).repeat_interleave(2, 3) for plane in (y, mask))
        y, mask = layer(f"dec_{number}", torch.cat([y, features.pop()], 1), torch.cat([mask, masks.pop()], 1), 1)
        if number > 1:
            y = torch.where(y > 0, y, 0.2 * y)
    return y


MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


@pytest.mark.parametrize("mask", [make_hole(32, 48), make_all_but_a_corner(64, 96)], ids=["hole", "all but a corner"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_stage_normalises_fills_the_hole_as_the_literal_net_does_and_composites(layout: str, mask: Tensor) -> None:
    model = build_net(layout)
    photo = make_photo(1, 3, *mask.shape[2:])
    normalised = (photo.double() - MEAN) / DEVIATION
    y = literal_net(make_state(layout, LAYERS, BASE, SEED), normalised, (1 - mask).expand_as(photo), LAYERS)
    expected = torch.where(mask == 1, y * DEVIATION + MEAN, photo.double())
    result = copy.deepcopy(model.module).double()(photo.double(), mask.double())
    assert y.std() > 0.1
    assert max_abs_difference(result, expected) < FLOAT64


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bare_net_takes_a_mask_for_each_colour(layout: str) -> None:
    valid = (make_photo(2, 3, 32, 48, seed=6) > 0.6).double()
    x = make_photo(2, 3, 32, 48).double() - 0.5
    module = copy.deepcopy(build_net(layout, raw=True).module).double()
    expected = literal_net(make_state(layout, LAYERS, BASE, SEED), x, valid, LAYERS)
    assert max_abs_difference(module(x, valid), expected) < FLOAT64


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_channel_of_a_mask_stands_for_equal_ones_to_the_bit(layout: str) -> None:
    module = build_net(layout, raw=True).module
    x, valid = make_photo(1, 3, 32, 48), 1 - make_hole(32, 48)
    assert torch.equal(module(x, valid), module(x, valid.expand(1, 3, 32, 48).contiguous()))


def test_both_layouts_compute_the_same() -> None:
    photo, mask = make_photo(1, 3, 32, 48), make_hole(32, 48)
    first, second = (build_net(layout).module(photo, mask) for layout in LAYOUTS)
    assert max_abs_difference(first, second) < BETWEEN_LAYOUTS
    assert not torch.equal(first, second)  # the weights differ, so it was not one layout twice


@pytest.mark.parametrize("layout", LAYOUTS)
def test_known_pixels_come_back_bit_for_bit_and_the_holes_content_is_ignored(layout: str) -> None:
    module = build_net(layout).module
    photo, mask = make_photo(1, 3, 32, 48), make_hole(32, 48)
    result = module(photo, mask)
    known = mask.expand_as(photo) == 0
    assert torch.equal(result[known], photo[known])
    assert torch.equal(module(photo + 0.5 * mask, mask), result)
    assert not torch.equal(module(photo + 0.5 * (1 - mask), mask)[~known], result[~known])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(16, 16), (32, 48)])
def test_photo_that_is_all_hole_gives_the_image_of_nothing(layout: str, size: tuple[int, int]) -> None:
    """No layer sees a known value, so that the last one gives 0 everywhere: ImageNet's mean colour."""
    result = build_net(layout).module(make_photo(1, 3, *size), torch.ones(1, 1, *size))
    assert torch.equal(result, MEAN.expand(1, 3, *size))


def test_photo_without_a_hole_comes_back_bit_for_bit() -> None:
    photo = make_photo(2, 3, 32, 16)
    assert torch.equal(build_net("input_conv").module(photo, torch.zeros(2, 1, 32, 16)), photo)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_items_of_a_batch_do_not_mix(layout: str) -> None:
    module = build_net(layout).module
    photos = torch.cat([make_photo(1, 3, 32, 48, seed=1), 0.1 * make_photo(1, 3, 32, 48, seed=2)])
    masks = torch.cat([make_hole(32, 48), 1 - make_hole(32, 48)])
    together = module(photos, masks)
    for i in range(2):
        alone = module(photos[i : i + 1], masks[i : i + 1])
        assert max_abs_difference(together[i : i + 1], alone) < BETWEEN_BATCHES


@pytest.mark.parametrize(("layers", "base"), [(1, 3), (3, 2), (5, 2), (8, 1)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_net_is_recognised_and_its_sizes_read_from_shapes(layout: str, layers: int, base: int) -> None:
    checkpoint = make_checkpoint(make_state(layout, layers, base, seed=0))
    architecture = reference.registry.identify(checkpoint)
    assert architecture.name == "partial-conv"
    model = architecture.build(checkpoint)
    share = int(layout == "conv2d")
    assert dict(model.hyperparameters) == {"base_channels": base, "layers": layers, "divides_by_share": share}
    assert {(spec.multiple_of, spec.minimum) for spec in (*model.inputs, *model.outputs)} == {(2**layers, 2**layers)}
    assert not any(module.training for module in model.module.modules())


def test_only_one_architecture_matches_each_layout() -> None:
    for layout in LAYOUTS:
        assert list_matching_architectures(make_state(layout, LAYERS, BASE, seed=0)) == ["partial-conv"]


def test_size_that_the_net_cannot_halve_is_refused() -> None:
    model = build_net("conv2d")
    feeds = {"image": np.zeros((1, 3, 24, 32), np.float32), "mask": np.zeros((1, 1, 24, 32), np.float32)}
    with pytest.raises(FeedError, match="its size H is 24"):
        check_feeds("net", model.inputs, feeds)


def test_file_is_read_with_its_counters_or_without(tmp_path: Path) -> None:
    photo, mask = make_photo(1, 3, 32, 48), make_hole(32, 48)
    checkpoint = read_checkpoint(write_checkpoint(tmp_path, "input_conv", LAYERS, BASE, SEED))
    state = {key: value for key, value in checkpoint.tensors.items() if not key.endswith("num_batches_tracked")}
    assert len(state) == len(checkpoint.tensors) - 2 * (LAYERS - 1)
    first, second = (build_model(tensors).module(photo, mask) for tensors in (checkpoint.tensors, state))
    assert torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.bool, torch.uint64, torch.float32])
def test_counter_is_left_out_whatever_its_dtype(dtype: torch.dtype) -> None:
    state = make_state("conv2d", LAYERS, BASE, SEED) | {"enc_2.bn.num_batches_tracked": torch.ones((), dtype=dtype)}
    photo, mask = make_photo(1, 3, 32, 48), make_hole(32, 48)
    result = build_model(state).module(photo, mask)
    assert torch.equal(result, build_net("conv2d").module(photo, mask))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bias_beyond_the_last_layers_is_taken_where_a_file_has_one(layout: str) -> None:
    conv = "conv.input_conv" if layout == "input_conv" else "conv"
    state = make_state(layout, LAYERS, BASE, SEED) | {
        f"enc_1.{conv}.bias": torch.tensor([0.7, -0.4]),
        f"dec_3.{conv}.bias": torch.tensor([0.2, -0.6, 0.4, 0.1]),
    }
    module = build_model(state, raw=True).module.double()
    x, valid = make_photo(1, 3, 32, 48).double(), (1 - make_hole(32, 48)).expand(1, 3, 32, 48).double()
    expected = literal_net(state, x, valid, LAYERS)
    assert max_abs_difference(module(x, valid), expected) < FLOAT64
    assert not torch.allclose(
        build_net(layout, raw=True).module(x.float(), valid.float()).double(), expected, atol=1e-2
    )


FIRST_LAYOUT, SECOND_LAYOUT = (make_state(layout, LAYERS, BASE, seed=0) for layout in LAYOUTS)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (without_key(FIRST_LAYOUT, "enc_3.bn.running_var"), "1 missing (enc_3.bn.running_var)"),
        (without_key(FIRST_LAYOUT, "dec_2.conv.mask_conv.weight"), "1 missing (dec_2.conv.mask_conv.weight)"),
        (without_key(FIRST_LAYOUT, "dec_1.conv.input_conv.bias"), "1 missing (dec_1.conv.input_conv.bias)"),
        (without_key(SECOND_LAYOUT, "enc_1.conv.weight"), "1 missing (enc_1.conv.weight)"),
        (without_key(SECOND_LAYOUT, "dec_4.conv.weight"), "1 missing (dec_4.conv.weight)"),
        (SECOND_LAYOUT | {"enc_1.bn.weight": torch.ones(2)}, "1 extra (enc_1.bn.weight)"),
        (FIRST_LAYOUT | {"enc_2.conv.input_conv.weight": torch.ones(4, 2, 3, 3)}, "is (4, 2, 3, 3), not (4, 2, 5, 5)"),
        (FIRST_LAYOUT | {"enc_1.conv.input_conv.weight": torch.ones(0)}, "enc_1.conv.input_conv.weight is (0,)"),
    ],
)
def test_near_miss_is_told_key_by_key(state: dict[str, Tensor], said: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        reference.registry.identify(make_checkpoint(state))
    assert "The nearest is partial-conv: " in str(caught.value)
    assert said in str(caught.value)


def test_first_version_of_upstreams_net_is_not_read() -> None:
    """Its convolutions were called otherwise, and had a bias each."""
    state = name_as_in_the_first_version(FIRST_LAYOUT)
    with pytest.raises(ArchitectureError, match=r"The nearest is partial-conv: .* extra \(dec_1\.conv\.conv2d\.bias"):
        reference.registry.identify(make_checkpoint(state))


def name_as_in_the_first_version(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.replace("input_conv", "conv2d").replace("mask_conv", "mask2d"): state[key] for key in state}


@pytest.mark.parametrize(
    "state",
    [
        name_as_in_the_first_version(FIRST_LAYOUT),
        without_key(FIRST_LAYOUT, "enc_1.conv.input_conv.weight"),
        {key: FIRST_LAYOUT[key] for key in FIRST_LAYOUT if not key.startswith("enc_1.")},
        without_key(SECOND_LAYOUT, "enc_1.conv.weight"),
        name_as_in_the_first_version(SECOND_LAYOUT | {"enc_1.conv.weight": torch.ones(0)}),
    ],
    ids=["first version", "first weight missing", "first layer missing", "the same, second layout", "empty"],
)
def test_width_of_a_narrow_file_is_not_called_wrong(state: dict[str, Tensor]) -> None:
    """Its widths are those of a net of its own base; only what is missing, too much or empty is told."""
    with pytest.raises(ArchitectureError) as caught:
        reference.registry.identify(make_checkpoint(state))
    assert "The nearest is partial-conv: " in str(caught.value)
    assert "(2," in str(caught.value) or "misshapen" not in str(caught.value)
    for wrong in ("(64,", "(128,", " 64,", " 128,"):
        assert wrong not in str(caught.value)


def test_the_second_layouts_weights_without_norms_are_not_read() -> None:
    """tanimutomo/partialconv makes norms and drops them."""
    state = {key: value for key, value in SECOND_LAYOUT.items() if ".bn." not in key}
    with pytest.raises(
        ArchitectureError, match=r"The nearest is partial-conv: \d+ missing \(enc_2\.bn\.weight, [^;]*$"
    ):
        reference.registry.identify(make_checkpoint(state))


def test_trained_mask_weights_are_refused_by_name() -> None:
    state = make_state("input_conv", LAYERS, BASE, seed=0)
    state["dec_2.conv.mask_conv.weight"][1, 2, 0, 0] = 0.999
    with pytest.raises(ArchitectureError, match=r"'dec_2\.conv\.mask_conv\.weight' is not all ones"):
        build_model(state)


def test_whole_numbers_are_refused_as_weights() -> None:
    state = make_state("conv2d", LAYERS, BASE, seed=0)
    state["enc_1.conv.weight"] = torch.ones_like(state["enc_1.conv.weight"]).int()
    with pytest.raises(ArchitectureError, match=r"'enc_1\.conv\.weight' is torch\.int32"):
        build_model(state)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_exported_net_is_made_of_plain_operators_and_computes_the_same(layout: str) -> None:
    """The plane behind the last encoder layer is one pixel at the smallest size."""
    model = build_net(layout, layers=2)
    graph = simplify(export_onnx(model, model.module))
    assert {node.op_type for node in graph.graph.node} <= PLAIN_OPS
    with OnnxRunner(graph.SerializeToString(), model.inputs, model.outputs) as runner:
        for batch, height, width in ((1, 4, 4), (2, 16, 40)):
            photo, mask = make_photo(batch, 3, height, width), make_hole(height, width).repeat(batch, 1, 1, 1)
            result = runner.run({"image": photo.numpy(), "mask": mask.numpy()})["result"]
            expected = model.module(photo, mask)
            assert max_abs_difference(torch.from_numpy(result), expected) < MAX_RUNTIME_DIFFERENCE
            known = np.broadcast_to(mask.numpy() == 0, result.shape)
            assert np.array_equal(result[known], photo.numpy()[known])


def test_net_deeper_than_photos_are_large_is_refused(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(write_checkpoint(tmp_path, "conv2d", 11, 1, 0))
    with pytest.raises(ArchitectureError, match="11 layers deep and takes multiples of 2048 only"):
        reference.registry.identify(checkpoint).build(checkpoint)
