"""Spectral norm as torch 0.4 wrote it: read as torch's own loader reads it."""

from __future__ import annotations

import pytest
import torch

import reference.registry
from converters.errors import ArchitectureError
from converters.sources.spectral_norm import fold_spectral_norm
from parity_tests.support.reference_models import build_model, list_matching_architectures, make_checkpoint, without_key
from parity_tests.support.seeded_checkpoints import make_state

OLD = "hooks of torch 0.4"
# torch solves for v in float32, and the divisor is the mean of some hundred float32 quotients: through 8 layers of
# values in [0, 1]; 7e-7 was seen.
ROUNDING = 2e-6
# torch's hook in float64 against ours rounded to float32, of vectors of length about 1. In float32 torch's v is noise:
# it inverts a product of low rank. Only the product u^T W v matters, and that is scaled to the right number.
V_ROUNDING = 1e-6


def test_old_file_computes_what_torch_makes_of_it() -> None:
    """The oracle is torch's hook: the net of a new file, into which torch itself loads the old one."""
    old = make_state("edge", seed=1, form=OLD)
    assert not any(key.endswith("weight_v") for key in old)
    loaded = build_model(make_state("edge", seed=2), raw=True).module
    loaded.load_state_dict(old, strict=True)
    ours = build_model(old, raw=True).module
    x = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(1))
    assert ours(x).std() > 0.01
    assert float((ours(x) - loaded(x)).abs().max()) < ROUNDING
    held = ours.state_dict()
    assert held.keys() == loaded.state_dict().keys()
    loaded.double().load_state_dict({key: value.double() for key, value in old.items()}, strict=True)
    for key, value in loaded.state_dict().items():
        assert float((held[key] - value).abs().max()) <= (V_ROUNDING if key.endswith("_v") else 0), key


def test_old_file_gives_the_weights_that_it_holds() -> None:
    """The file's own quotient is what the net trained with; folding gives it again."""
    old = make_state("edge", seed=1, form=OLD)
    folded = fold_spectral_norm(build_model(old, raw=True).module).state_dict()
    assert folded.keys() == {key for key in old if not key.endswith(("_orig", "_u"))}
    for key, value in folded.items():
        assert torch.allclose(value, old[key], rtol=1e-5, atol=0)  # two float32 divisions by sums of some hundreds


def test_weights_of_zero_do_not_matter() -> None:
    old, whole = make_state("edge", form=OLD), make_state("edge", form=OLD)
    for name in ("weight_orig", "weight"):
        old[f"encoder.4.{name}"][0, 0, 0, 0] = 0
    module = build_model(old, raw=True).module
    conv, kept = module.get_submodule("encoder.4"), build_model(whole, raw=True).module.get_submodule("encoder.4")
    for one in (conv, kept):
        one(torch.rand(1, 4, 8, 8))  # the hook sets the weight when the layer runs
    assert float((conv.weight - kept.weight).abs().max()) == float(kept.weight[0, 0, 0, 0].abs())


@pytest.mark.parametrize("name", ["weight", "weight_u"])
def test_weight_that_was_not_divided_by_a_number_is_refused(name: str) -> None:
    state = make_state("edge", form=OLD)
    state[f"encoder.4.{name}"].zero_()
    with pytest.raises(
        ArchitectureError, match=r"'encoder\.4\.weight' is not 'encoder\.4\.weight_orig' divided .*save"
    ):
        build_model(state)


def test_old_file_fits_one_architecture_and_a_part_of_one_is_refused() -> None:
    state = make_state("edge", form=OLD)
    assert list_matching_architectures(state) == ["edgeconnect-edge"]
    for name, missing in (("weight_u", "weight_u"), ("weight", "weight_v")):
        with pytest.raises(ArchitectureError, match=rf"edgeconnect-edge: \d missing \(decoder\.0\.{missing}"):
            reference.registry.identify(make_checkpoint(without_key(state, f"decoder.0.{name}")))
