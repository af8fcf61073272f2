"""Folded weights equal the live module's bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from converters.sources.spectral_norm import fold_spectral_norm
from parity_tests.support.seeded_checkpoints import make_state
from reference.checkpoint import read_checkpoint
from reference.model import ReferenceModel
from reference.registry import identify

# The formula in float64 against torch's own float32: a quotient whose divisor is a sum of some hundred products.
ROUNDING = 1e-5
# Scales of 10^U(-2, 2) over seven layers: their extremes lie further apart than this, or the fixture hides errors.
LEAST_SPREAD = 100.0
FORMS = pytest.mark.parametrize("form", ["hooks", "parametrizations"])
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Conv2d": lambda: nn.Conv2d(5, 7, (3, 4)),
    "Conv2d without bias": lambda: nn.Conv2d(4, 6, 3, dilation=2, bias=False),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(6, 5, 4, stride=2, padding=1),
}


def attach(layer: nn.Module, form: str) -> nn.Module:
    """`layer` with spectral norm, some power iterations in, weights scaled so that a missed division shows."""
    torch.manual_seed(3)
    with torch.no_grad():
        layer.weight.mul_(37.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the old API is what published checkpoints hold
        one = nn.utils.spectral_norm(layer) if form == "hooks" else nn.utils.parametrizations.spectral_norm(layer)
    example = torch.rand(2, layer.in_channels, 9, 9)
    with torch.no_grad():
        for _ in range(3):
            one.train()(example)
    return one.eval().requires_grad_(False)


def live_weight(layer: nn.Module) -> Tensor:
    """The weight that the live layer computes with: the old hook sets it when the layer runs."""
    layer(torch.rand(1, layer.in_channels, 9, 9))
    return layer.weight.detach()


def convolutions(module: nn.Module) -> dict[str, nn.Module]:
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, kinds)}


def same_bits(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()


@FORMS
@pytest.mark.parametrize("kind", LAYERS)
def test_folded_weight_is_the_live_layers_bit_for_bit(kind: str, form: str) -> None:
    layer = attach(LAYERS[kind](), form)
    folded = fold_spectral_norm(nn.Sequential(layer))[0]
    assert type(folded) is type(LAYERS[kind]())
    assert set(folded.state_dict()) <= {"weight", "bias"}
    assert same_bits(folded.weight, live_weight(layer))
    if layer.bias is not None:
        assert same_bits(folded.bias, layer.bias.detach())


@FORMS
@pytest.mark.parametrize("kind", LAYERS)
def test_folded_weight_is_the_papers_quotient(kind: str, form: str) -> None:
    layer = attach(LAYERS[kind](), form)
    state = {name: value.double() for name, value in layer.state_dict().items()}
    names = ("weight_orig", "weight_u", "weight_v")
    if form == "parametrizations":
        names = tuple(f"parametrizations.weight.{part}" for part in ("original", "0._u", "0._v"))
    original, u, v = (state[name] for name in names)
    matrix = original.transpose(0, 1 if kind == "ConvTranspose2d" else 0).flatten(1)
    folded = fold_spectral_norm(nn.Sequential(layer))[0].weight.double()
    assert torch.allclose(folded, original / (u @ matrix @ v), rtol=ROUNDING, atol=0)
    assert not torch.allclose(folded, original, rtol=0.1)


@FORMS
def test_module_that_is_folded_stays_as_it_was(form: str) -> None:
    layer = attach(LAYERS["Conv2d"](), form)
    before, example = {name: value.clone() for name, value in layer.state_dict().items()}, torch.rand(1, 5, 9, 9)
    output = layer(example)
    folded = fold_spectral_norm(nn.Sequential(layer.train()))
    assert layer.training
    assert layer.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert torch.equal(layer.eval()(example), output)
    assert not folded.training
    assert not any(parameter.requires_grad for parameter in folded.parameters())


def read_edge_net(form: str, folder: Path) -> ReferenceModel:
    path = folder / "EdgeModel_gen.pth"
    torch.save({"iteration": 1, "generator": make_state("edge", form=form)}, path)
    checkpoint = read_checkpoint(path)
    return identify(checkpoint).build(checkpoint)


@FORMS
def test_checkpoints_weights_fold_to_the_live_nets_bit_for_bit(form: str, tmp_path: Path) -> None:
    model = read_edge_net(form, tmp_path)
    folded = convolutions(fold_spectral_norm(model.module))
    live = convolutions(model.module)
    assert len(live) == 8
    for name, layer in live.items():
        assert same_bits(folded[name].weight, live_weight(layer)), name


def test_checkpoint_saved_folded_keeps_its_weights_bit_for_bit(tmp_path: Path) -> None:
    state = make_state("edge", form="folded")
    folded = convolutions(fold_spectral_norm(read_edge_net("folded", tmp_path).module))
    for name, layer in folded.items():
        assert same_bits(layer.weight, state[f"{name.removeprefix('generator.')}.weight"]), name


def test_three_forms_of_one_checkpoint_fold_to_one_net(tmp_path: Path) -> None:
    hooks, parametrizations, folded = (
        convolutions(fold_spectral_norm(read_edge_net(form, tmp_path).module))
        for form in ("hooks", "parametrizations", "folded")
    )
    for name, layer in hooks.items():
        assert same_bits(layer.weight, parametrizations[name].weight), name
        assert torch.allclose(layer.weight, folded[name].weight, rtol=ROUNDING, atol=0), name


def test_fixture_scales_spread_over_orders_of_magnitude() -> None:
    state = make_state("edge")
    scales = []
    for key, original in state.items():
        if key.endswith("weight_orig"):
            matrix = original.transpose(0, 1 if key.startswith("decoder") else 0).flatten(1)
            prefix = key.removesuffix("_orig")
            scales.append(float(state[f"{prefix}_u"] @ matrix @ state[f"{prefix}_v"]))
    assert len(scales) == 7
    assert max(scales) / min(scales) > LEAST_SPREAD
