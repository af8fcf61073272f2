"""DeepFill v2: layouts told apart by keys, and the net held against the paper's formulas written out slowly."""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
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
from parity_tests.support.deepfill_states import FUSE_KEY, LAYOUTS, make_state, rows
from parity_tests.support.reference_models import build_model, make_checkpoint
from reference.contextual_attention import FUSE_KERNEL, ContextualAttention, PickSpread
from reference.model import ReferenceModel

# Two ways of the same sums in float64, on numbers of size 1.
FLOAT64_ROUNDING = 1e-10
# Another batch size may take other kernels: some units in the last place of float32, on numbers of at most 1.
BATCH_ROUNDING = 1e-5
# The gate of ONNX in float32.
ONNX_GATE = 1e-4
# What must show does so by a hundred times what rounding may do, or the test of it says nothing.
SHOWS = 1e-3
# All scores of 1024x1024 are 16384 x 16384 float32, 1 GiB, of which there would be several at once.
LARGE_RSS_GIB = 2.0
BOTH = pytest.mark.parametrize("layout", LAYOUTS)

# Convolutions of the coarse net, of the two branches, after the attention, after the branches meet.
COUNTS = (17, 10, 6, 2, 7)
# Of the coarse net and of the branch that does not attend: the seventh to the tenth convolution.
DILATIONS = {6: 2, 7: 4, 8: 8, 9: 16}


def build(layout: str, base: int = 4, raw: bool = False, seed: int = 0) -> ReferenceModel:
    return build_model(make_state(layout, base, seed), raw=raw)


def photo_and_mask(height: int, width: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Noise, and a hole that moves from item to item and leaves whole patches known."""
    random = torch.Generator().manual_seed(height + width)
    mask = torch.zeros(batch, 1, height, width)
    for item in range(batch):
        mask[item, :, height // 2 :, width // 2 + 8 * item :] = 1
    return torch.rand(batch, 3, height, width, generator=random), mask


def picked(count: int, rate: int, spread: bool) -> list[int]:
    """The rows that are left of rate * count: every rate-th, or spread from the first to the last, a half going up."""
    if not spread or count == 1:
        return [rate * i for i in range(count)]
    return [int(Fraction(i * (rate * count - 1), count - 1) + Fraction(1, 2)) for i in range(count)]


def slow_attention(x: Any, mask: Any, fuse: bool, spread: bool) -> Any:
    """(C, H, W) and (4H, 4W), float64 -> (C, H, W): every patch cut out, compared and pasted by itself."""
    channels, height, width = x.shape
    n, m = height // 2, width // 2
    places = list(itertools.product(range(n), range(m)))
    thin = x[:, picked(n, 2, spread)][:, :, picked(m, 2, spread)]
    hole = mask[picked(n, 8, spread)][:, picked(m, 8, spread)]

    def cut(plane: Any, top: int, left: int, size: int) -> Any:
        patch = np.zeros((*plane.shape[:-2], size, size))
        for u, v in itertools.product(range(size), range(size)):
            if 0 <= top + u < plane.shape[-2] and 0 <= left + v < plane.shape[-1]:
                patch[..., u, v] = plane[..., top + u, left + v]
        return patch

    patches = {(i, j): cut(thin, i - 1, j - 1, 3) for i, j in places}
    known = {(i, j): not cut(hole, i - 1, j - 1, 3).any() for i, j in places}
    scores = {
        (f, b): (patches[f] * patches[b]).sum() / max(np.sqrt((patches[b] ** 2).sum()), 1e-4)
        for f in places
        for b in places
    }
    by_column = [(i, j) for j in range(m) for i in range(n)]
    for order in [places, by_column] if fuse else []:
        at = {place: index for index, place in enumerate(order)}
        scores = {
            (f, b): sum(
                scores[order[at[f] + d], order[at[b] + d]]
                for d in (-1, 0, 1)
                if 0 <= at[f] + d < len(order) and 0 <= at[b] + d < len(order)
            )
            for f in places
            for b in places
        }
    pasted = np.zeros((channels, height + 2, width + 2))
    for f in places:
        exponents = np.array([10 * scores[f, b] * known[b] for b in places])
        shares = np.exp(exponents - exponents.max())
        shares /= shares.sum()
        for share, b in zip(shares, places, strict=True):
            if known[b]:
                patch = cut(x, 2 * b[0] - 1, 2 * b[1] - 1, 4)
                pasted[:, 2 * f[0] : 2 * f[0] + 4, 2 * f[1] : 2 * f[1] + 4] += share * patch
    return pasted[:, 1:-1, 1:-1] / 4


def slow_net(state: dict[str, Tensor], layout: str, x: Tensor) -> Tensor:
    """(1, 5, H, W) float64 -> (1, 3, H, W): the published net, layer by layer, from the file's own keys."""
    weights = {key: value.double() for key, value in state.items()}

    def run(names: list[str], x: Tensor, activation: Callable[[Tensor], Tensor] = F.elu) -> Tensor:
        for index, name in enumerate(names):
            weight, bias = weights[f"{name}.conv.weight"], weights[f"{name}.conv.bias"]
            dilation = DILATIONS.get(index, 1) if len(names) >= 10 else 1
            if name.endswith("_upsample.conv"):
                x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            half = dilation * (weight.shape[2] // 2)
            stride = 2 if name.endswith("_downsample") else 1
            pads = (0, 1, 0, 1) if layout == "tf" and stride == 2 else (half,) * 4
            y = F.conv2d(F.pad(x, pads), weight, bias, stride, 0, dilation)
            if weight.shape[0] == 3:
                return y
            features, gate = y[:, : y.shape[1] // 2], y[:, y.shape[1] // 2 :]
            last = activation if index == len(names) - 1 else F.elu
            x = last(features) / (1 + torch.exp(-gate))
        return x

    names = iter([name for name, *_ in rows(layout)])
    coarse, hallucinate, match, recall, unite = ([next(names) for _ in range(count)] for count in COUNTS)
    mask = x[:, 4:5]
    filled = torch.tanh(run(coarse, x)) * mask + x[:, :3] * (1 - mask)
    matched = run(match, filled, F.relu)
    attended = slow_attention(matched[0].numpy(), mask[0, 0].numpy(), fuse=layout == "pt", spread=layout == "tf")
    both = torch.cat([run(hallucinate, filled), run(recall, torch.from_numpy(attended)[None])], 1)
    return torch.tanh(run(unite, both))


@BOTH
@pytest.mark.parametrize("base", [4, 8, 10, 18, 20])
def test_layout_and_base_are_read_from_keys_and_shapes(layout: str, base: int) -> None:
    model = build(layout, base)
    assert model.architecture == "deepfill-v2"
    assert model.hyperparameters == {
        "base_channels": base,
        "in_channels": 5,
        "out_channels": 3,
        "symmetric_padding": int(layout == "pt"),
        "fuse": int(layout == "pt"),
    }


@BOTH
@pytest.mark.parametrize("base", [5, 6, 7, 9, 12, 13, 14, 15])
def test_base_that_upstream_rounds_or_leaves_without_gates_is_refused(layout: str, base: int) -> None:
    # Upstream's convolutions of 3 channels have no gate, wherever they stand.
    state = {key: value[:3] if len(value) == 2 * 3 else value for key, value in make_state(layout, base).items()}
    with pytest.raises(ArchitectureError, match=r"The nearest is deepfill-v2: \d+ misshapen [^;]*$"):
        reference.registry.identify(make_checkpoint(state))


@BOTH
def test_near_miss_names_the_missing_and_the_misshapen_key(layout: str) -> None:
    state = make_state(layout)
    gone, bent = sorted(key for key in state if key.endswith("weight"))[5:7]
    del state[gone]
    state[bent] = state[bent][:, :1]
    with pytest.raises(ArchitectureError) as caught:
        reference.registry.identify(make_checkpoint(state))
    assert f"The nearest is deepfill-v2: 1 missing ({gone}); 1 misshapen ({bent} is" in str(caught.value)


def test_file_without_the_fuse_weight_is_the_same_net() -> None:
    state = make_state("pt", 4)
    del state[FUSE_KEY]
    without = build_model(state).module
    photo, mask = photo_and_mask(24, 32)
    assert torch.equal(without(photo, mask), build("pt").module(photo, mask))


def test_whole_numbers_for_weights_are_refused() -> None:
    state = make_state("pt", 4)
    state["stage1.conv1.conv.bias"] = state["stage1.conv1.conv.bias"].long()
    with pytest.raises(
        ArchitectureError, match=r"'stage1.conv1.conv.bias' is torch.int64. Save the weights as floating"
    ):
        build_model(state)


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("size", [(6, 8), (10, 6), (2, 4), (2, 2)])
def test_attention_is_the_papers_formula_patch_by_patch(size: tuple[int, int], fuse: bool, spread: bool) -> None:
    random = np.random.default_rng(7)
    x = random.normal(size=(2, 3, *size)) * 0.3
    mask = np.zeros((2, 1, 4 * size[0], 4 * size[1]))
    mask[0, :, 5:9, 6:10] = 1  # a corner, thinned out to rows that differ with `spread`
    mask[1, :, 4 * size[0] - 6 :, 4 * size[1] - 6 :] = 1
    attention = ContextualAttention(3, FUSE_KERNEL if fuse else None, spread).double()
    ours = attention(torch.from_numpy(x), torch.from_numpy(mask)).numpy()
    for item in range(2):
        expected = slow_attention(x[item], mask[item, 0], fuse, spread)
        assert np.abs(ours[item] - expected).max() < FLOAT64_ROUNDING


def test_fuse_and_spread_each_change_the_attention() -> None:
    random = np.random.default_rng(7)
    x, mask = random.normal(size=(3, 6, 8)) * 0.3, np.zeros((24, 32))
    mask[16:20, 8:16] = 1
    plain = slow_attention(x, mask, fuse=False, spread=False)
    assert np.abs(slow_attention(x, mask, fuse=True, spread=False) - plain).max() > SHOWS
    assert np.abs(slow_attention(x, mask, fuse=False, spread=True) - plain).max() > SHOWS


@pytest.mark.parametrize("rate", [2, 8])
def test_spread_picks_the_exact_row_at_every_size(rate: int) -> None:
    for count in range(1, 130):
        plane = torch.arange(8.0 * count).reshape(1, 1, -1, 1).expand(1, 1, -1, 8)
        rows = PickSpread(plane)(plane[:, :, : rate * count, :rate], rate)
        assert rows[0, 0, :, 0].tolist() == picked(count, rate, spread=True)


@BOTH
@pytest.mark.parametrize("size", [(24, 32), (16, 8)])
def test_generator_is_the_published_net_layer_by_layer(layout: str, size: tuple[int, int]) -> None:
    state = make_state(layout, 4, seed=3)
    photo, mask = photo_and_mask(*size)
    x = torch.cat([(2 * photo - 1) * (1 - mask), torch.ones_like(mask), mask], 1).double()
    expected = slow_net(state, layout, x)
    ours = build(layout, 4, raw=True, seed=3).module.double()(x)
    assert (ours - expected).abs().max() < FLOAT64_ROUNDING
    assert expected.std() > SHOWS


@BOTH
def test_stage_feeds_and_composites_as_published(layout: str) -> None:
    photo, mask = photo_and_mask(24, 32)
    x = torch.cat([(photo * 2 - 1) * (1 - mask), torch.ones_like(mask), mask], 1)
    y = build(layout, raw=True).module(x)
    result = build(layout).module(photo, mask)
    known = (mask == 0).expand_as(photo)
    assert torch.equal(result[known], photo[known])
    assert (result - (y + 1) / 2)[~known].abs().max() < BATCH_ROUNDING
    assert (result - photo)[~known].abs().max() > SHOWS


@BOTH
def test_what_lies_in_the_hole_is_ignored_and_what_is_known_is_not(layout: str) -> None:
    model = build(layout)
    photo, mask = photo_and_mask(24, 32)
    result = model.module(photo, mask)
    assert torch.equal(model.module(photo * (1 - mask), mask), result)
    assert (model.module(photo * mask, mask) - result)[:, :, 12:, 16:].abs().max() > SHOWS


@BOTH
def test_items_of_a_batch_do_not_mix(layout: str) -> None:
    module = build(layout).module
    photo, mask = photo_and_mask(32, 48, batch=2)
    both = module(photo, mask)
    for item in range(2):
        alone = module(photo[item : item + 1], mask[item : item + 1])
        assert (both[item] - alone[0]).abs().max() < BATCH_ROUNDING
    assert (module(photo, mask.flip(0)) - both).abs().max() > SHOWS


@BOTH
def test_a_photo_that_is_all_hole_gives_finite_numbers_and_attention_gives_nothing(layout: str) -> None:
    photo, mask = photo_and_mask(16, 24)
    assert build(layout).module(photo, torch.ones_like(mask)).isfinite().all()
    attention = ContextualAttention(3, FUSE_KERNEL if layout == "pt" else None, layout == "tf")
    assert not attention(torch.rand(1, 3, 4, 6), torch.ones(1, 1, 16, 24)).any()


@pytest.mark.parametrize("scale", [1e12, 0.0])
def test_attention_stays_finite_on_large_and_on_no_features(scale: float) -> None:
    x = scale * torch.randn(2, 3, 8, 6, generator=torch.Generator().manual_seed(1))
    y = ContextualAttention(3, FUSE_KERNEL, spread=False)(x, torch.zeros(2, 1, 32, 24))
    assert y.isfinite().all()


@functools.cache
def export(layout: str) -> onnx.ModelProto:
    model = build(layout, 4)
    return simplify(export_onnx(model, model.module))


@BOTH
def test_exported_graph_computes_the_net_at_every_size(layout: str) -> None:
    model, graph = build(layout, 4), export(layout)
    check(graph)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch, height, width in [(2, 64, 40), (1, 32, 32), (1, 8, 8), (3, 8, 24)]:
        photo, mask = photo_and_mask(height, width, batch)
        (actual,) = session.run(None, {"image": photo.numpy(), "mask": mask.numpy()})
        assert np.abs(actual - model.module(photo, mask).numpy()).max() < ONNX_GATE


@BOTH
def test_photo_of_1024_takes_little_memory(layout: str, tmp_path: Path) -> None:
    graph = onnx.ModelProto()
    graph.CopyFrom(export(layout))
    del graph.graph.value_info[:]  # as in the file that ships: ONNX Runtime keeps buffers of known shapes for later
    onnx.save(graph, tmp_path / "net.onnx")
    code = (
        "import re, sys, numpy, onnxruntime;"
        "session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider']);"
        "image, mask = numpy.ones((1, 3, 1024, 1024), 'f'), numpy.zeros((1, 1, 1024, 1024), 'f');"
        "session.run(None, {'image': image, 'mask': mask});"
        # Not getrusage: its peak is that of the process that started this one, if that was larger.
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "net.onnx")], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) / 2**20 < LARGE_RSS_GIB
