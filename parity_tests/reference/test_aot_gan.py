"""AOT-GAN: read from keys alone, held to a restatement."""

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
from converters.rewrites.accurate_mean import rewrite_accurate_mean
from converters.sources.export_torch import export_onnx
from parity_tests.support.aot_gan_states import make_state, write_checkpoint
from parity_tests.support.reference_models import (
    build_model,
    list_matching_architectures,
    make_checkpoint,
    make_planes,
    without_key,
)
from reference.checkpoint import read_checkpoint

# float64 rounding through some ten layers, which gates of slope 10 enlarge.
ROUNDING = 1e-9
# What a mistake changes at least, millions of roundings.
MISTAKE = 1e-3
# torch's convolutions may choose other kernels for two items than for one; gates enlarge it.
BATCH_TOLERANCE = 2e-5
# The gate of ONNX in float32 is 2e-5 of the source's own; against float64 the source itself is up to 1e-5 away.
ONNX_LIMIT = 5e-5


def restate(state: Mapping[str, Tensor], image: Tensor, mask: Tensor, mistake: str = "") -> Tensor:
    """The published net in plain functions of float64 tensors; `mistake` names what is done wrong."""
    weights = {key: value.double() for key, value in state.items()}

    def conv(x: Tensor, key: str, reflect: int = 0, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> Tensor:
        x = F.pad(x, (reflect,) * 4, mode="reflect") if reflect else x
        return F.conv2d(x, weights[f"{key}.weight"], weights[f"{key}.bias"], stride, padding, dilation)

    def enlarge(x: Tensor) -> Tensor:
        """Rows and columns at i (n - 1) / (2 n - 1), linearly between their neighbours."""
        for axis in (2, 3):
            size = x.shape[axis]
            at = torch.arange(2 * size, dtype=torch.float64) * (size - 1) / (2 * size - 1)
            if mistake == "corners not aligned":
                at = ((torch.arange(2 * size, dtype=torch.float64) + 0.5) / 2 - 0.5).clamp(0, size - 1)
            low = at.floor().long().clamp(max=size - 1)
            share = (at - low).reshape([-1 if i == axis else 1 for i in range(4)])
            high = (low + 1).clamp(max=size - 1)
            x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, high) * share
        return x

    def block(x: Tensor, at: str) -> Tensor:
        rates = (1, 1, 1, 1) if mistake == "no dilation" else (1, 2, 4, 8)
        seen = [conv(x, f"{at}.block{i:02}.1", rate, dilation=rate).relu() for i, rate in enumerate(rates)]
        gate = conv(x, f"{at}.gate.1", 1)
        mean = gate.mean((2, 3), keepdim=True)
        count = gate.shape[2] * gate.shape[3] - (0 if mistake == "biased deviation" else 1)
        deviation = (((gate - mean) ** 2).sum((2, 3), keepdim=True) / count).sqrt() + 1e-9
        share = 1 / (1 + torch.exp(-5 * (2 * (gate - mean) / deviation - 1)))
        return x * (1 - share) + conv(torch.cat(seen, 1), f"{at}.fuse.1", 1) * share

    known = 1 - mask
    hole = 0 if mistake == "black hole" else mask
    x = torch.cat([(image * 2 - 1) * known + hole, known if mistake == "inverted mask" else mask], 1)
    x = conv(x, "encoder.1", 3).relu()
    for key in ("encoder.3", "encoder.5"):
        x = conv(x, key, stride=2, padding=1).relu()
    for number in range(len({key.split(".")[1] for key in weights if key.startswith("middle.")})):
        x = block(x, f"middle.{number}")
    for key in ("decoder.0.conv", "decoder.2.conv"):
        x = conv(enlarge(x), key, padding=1).relu()
    return (conv(x, "decoder.4", padding=1).tanh() + 1) / 2 * mask + image * known


@pytest.mark.parametrize(("base", "blocks"), [(4, 1), (8, 8), (16, 3)])
def test_sizes_are_told_from_keys_and_shapes_alone(base: int, blocks: int) -> None:
    state = make_state(base, blocks)
    assert list_matching_architectures(state) == ["aot-gan"]
    model = build_model(state)
    assert model.hyperparameters == {"base_channels": base, "blocks": blocks}
    for built in (model, build_model(state, raw=True)):
        assert {(spec.multiple_of, spec.minimum) for spec in (*built.inputs, *built.outputs)} == {(4, 36)}


def test_generator_is_found_in_wrappers(tmp_path: Path) -> None:
    state = make_state(4, 1)
    torch.save({"state_dict": {f"netG.module.{k}": v for k, v in state.items()}}, tmp_path / "last.ckpt")
    torch.save({"params_ema": state, "iteration": 5}, tmp_path / "ema.pth")
    for file in (write_checkpoint(tmp_path, 4, 1), tmp_path / "last.ckpt", tmp_path / "ema.pth"):
        checkpoint = read_checkpoint(file)
        assert reference.registry.identify(checkpoint).name == "aot-gan"
        assert checkpoint.tensors.keys() == state.keys()


@pytest.mark.parametrize("size", [(36, 44), (60, 40)])
def test_module_computes_what_upstream_publishes(size: tuple[int, int]) -> None:
    """The bottlenecks are 9x11 and 15x10."""
    state, (image, mask) = make_state(), make_planes(*size)
    result = build_model(state).module.double()(image, mask)
    assert result[mask.bool().expand_as(result)].std() > 0.05
    assert float((result - restate(state, image, mask)).abs().max()) < ROUNDING


@pytest.mark.parametrize(
    "mistake", ["no dilation", "biased deviation", "corners not aligned", "black hole", "inverted mask"]
)
def test_mistake_in_the_restatement_is_seen(mistake: str) -> None:
    state, (image, mask) = make_state(), make_planes(36, 44)
    wrong = restate(state, image, mask, mistake)
    assert float((build_model(state).module.double()(image, mask) - wrong).abs().max()) > MISTAKE


def test_stage_composites_and_ignores_what_lies_in_the_hole() -> None:
    state, (image, mask) = make_state(), make_planes(36, 44)
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
    module, (image, mask) = build_model(make_state()).module, make_planes(36, 44)
    image, mask = image.float(), mask.float()
    alone = torch.cat([module(image[i : i + 1], mask[i : i + 1]) for i in range(2)])
    assert float((module(image, mask) - alone).abs().max()) < BATCH_TOLERANCE


def test_exported_graph_computes_the_net_at_every_size() -> None:
    """The bottleneck of 180x244 is 45x61."""
    state = make_state(4, 1)
    model = build_model(state)
    graph = rewrite_accurate_mean(simplify(export_onnx(model, model.module)))
    check(graph)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for items, height, width in [(2, 36, 44), (1, 36, 36), (1, 180, 244), (3, 40, 36)]:
        image, mask = make_planes(height, width, items)
        (actual,) = session.run(None, {"image": image.float().numpy(), "mask": mask.float().numpy()})
        assert np.abs(actual - restate(state, image, mask).numpy()).max() < ONNX_LIMIT


STATE = make_state(4, 2)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (without_key(STATE, "decoder.4.bias"), "1 missing (decoder.4.bias)"),
        (without_key(STATE, "middle.1.block02.1.weight"), "1 missing (middle.1.block02.1.weight)"),
        (STATE | {"middle.0.block04.1.weight": torch.ones(4, 16, 3, 3)}, "1 extra (middle.0.block04.1.weight)"),
        (STATE | {"encoder.1.weight": torch.ones(4, 3, 7, 7)}, "encoder.1.weight is (4, 3, 7, 7), not (4, 4, 7, 7)"),
    ],
)
def test_nearest_architecture_is_named_with_what_differs(state: dict[str, Tensor], said: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        reference.registry.identify(make_checkpoint(state))
    assert said in str(caught.value)
    assert "The nearest is aot-gan" in str(caught.value)


def test_weights_of_whole_numbers_are_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"'decoder\.4\.bias' is torch\.int64"):
        build_model({**STATE, "decoder.4.bias": STATE["decoder.4.bias"].long()})
