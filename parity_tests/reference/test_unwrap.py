"""Where a file may hold the generator's state dict, and by what its kind is told."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from converters.errors import CheckpointError
from parity_tests.support import resnet_generator_states
from parity_tests.support.seeded_checkpoints import make_state
from reference.checkpoint import SUFFIXES, read_checkpoint
from reference.registry import identify
from reference.unwrap import GENERATOR_KEYS

EDGE = make_state("edge")
# Its own keys start with "model.", as the parts of a Lightning module called `model` do.
CYCLEGAN = resnet_generator_states.make_state("cyclegan")
NETS = {"edgeconnect-edge": EDGE, "cyclegan-resnet": CYCLEGAN}
EACH_NET = pytest.mark.parametrize("net", NETS)
DISCRIMINATOR = {"conv1.0.weight_orig": torch.ones(3), "conv1.0.bias": torch.ones(3)}
OPTIMIZER = {"state": {}, "param_groups": [{"lr": 1e-4}]}


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def read(folder: Path, content: object, name: str = "a.pth") -> dict[str, Tensor]:
    torch.save(content, folder / name)
    return dict(read_checkpoint(folder / name).tensors)


def require_same(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[key], state[key]) for key in state)


@EACH_NET
@pytest.mark.parametrize("key", GENERATOR_KEYS)
def test_state_dict_is_found_under_every_usual_key(tmp_path: Path, key: str, net: str) -> None:
    require_same(read(tmp_path, {key: NETS[net], "epoch": 3, "optimizer": OPTIMIZER}), NETS[net])
    assert read_checkpoint(tmp_path / "a.pth").settings == {"epoch": 3}


@EACH_NET
@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "_orig_mod.",
        "module._orig_mod.",
        "_orig_mod.module.",
        "_orig_mod.module._orig_mod.",
        "module.module.",
    ],
)
def test_prefixes_of_wrappers_are_taken_off_in_any_order(tmp_path: Path, prefix: str, net: str) -> None:
    require_same(read(tmp_path, prefixed(prefix, NETS[net])), NETS[net])
    require_same(read(tmp_path, {"netG": prefixed(prefix, NETS[net])}), NETS[net])


@EACH_NET
@pytest.mark.parametrize(
    "prefix", ["generator.", "netG.", "model.", "generator._orig_mod.", "_orig_mod.netG.", "model.module."]
)
def test_part_of_a_lightning_module_is_found_beside_its_other_parts(tmp_path: Path, prefix: str, net: str) -> None:
    whole = "_orig_mod." if prefix.startswith("_orig_mod.") else ""
    state = {**prefixed(prefix, NETS[net]), **prefixed(f"{whole}discriminator.", DISCRIMINATOR)}
    content = {"epoch": 3, "pytorch-lightning_version": "2.1.0", "state_dict": state, "optimizer_states": [OPTIMIZER]}
    require_same(read(tmp_path, content, "a.ckpt"), NETS[net])


@EACH_NET
@pytest.mark.parametrize("key", ["state_dict", "model", ""])
def test_keys_that_start_as_a_prefix_does_are_kept(tmp_path: Path, key: str, net: str) -> None:
    require_same(read(tmp_path, {key: NETS[net]} if key else NETS[net]), NETS[net])


def test_place_whose_keys_fit_is_taken_and_others_are_not(tmp_path: Path) -> None:
    require_same(read(tmp_path, {"model": DISCRIMINATOR, "state_dict": {"a": torch.ones(2)}, "netG": EDGE}), EDGE)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"params": EDGE, "params_ema": EDGE}, "it holds several generators: 'params', 'params_ema'. Save the state"),
        ({"generator": EDGE, "generator_ema": CYCLEGAN}, "several generators: 'generator', 'generator_ema'"),
        (
            {"state_dict": {**prefixed("generator.", EDGE), **prefixed("generator_ema.", EDGE)}},
            "several generators: 'generator.' in 'state_dict', 'generator_ema.' in 'state_dict'",
        ),
        (
            {"G": EDGE, "state_dict": prefixed("netG.", EDGE)},
            "several generators: 'G', 'netG.' in 'state_dict'",
        ),
        ({"params": DISCRIMINATOR, "params_ema": DISCRIMINATOR}, "several state dicts: params, params_ema"),
    ],
)
def test_several_that_fit_are_refused_by_name(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path, content)
    assert said in str(caught.value)


def test_place_that_fits_nearly_is_taken_for_the_message(tmp_path: Path) -> None:
    state = {**prefixed("netG.", EDGE), "netG.extra": torch.ones(2), **prefixed("netD.", DISCRIMINATOR)}
    require_same(read(tmp_path, {"state_dict": state}), {**EDGE, "extra": torch.ones(2)})


def test_dict_that_holds_itself_is_refused(tmp_path: Path) -> None:
    content: dict[str, Any] = {"generator": {"w": torch.ones(2)}, "model": {}}
    content["state_dict"] = content["model"]["model."] = content
    with pytest.raises(CheckpointError, match="several state dicts: generator, model, state_dict"):
        read(tmp_path, content)


FORMATS: dict[str, Callable[[Path], object]] = {
    "torch zip": lambda path: torch.save(EDGE, path),
    "torch legacy": lambda path: torch.save(EDGE, path, _use_new_zipfile_serialization=False),
    "safetensors": lambda path: path.write_bytes(save(EDGE)),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".safetensors"])
def test_kind_is_told_by_the_content_not_by_the_suffix(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / f"a{suffix}"
    FORMATS[kind](path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.format == kind
    require_same(checkpoint.tensors, EDGE)
    assert identify(checkpoint).name == "edgeconnect-edge"


@pytest.mark.parametrize("suffix", [".pkl", ".tar", ".h5", "", ".PTH"])
def test_any_other_suffix_is_refused(tmp_path: Path, suffix: str) -> None:
    torch.save(EDGE, tmp_path / f"a{suffix}")
    with pytest.raises(CheckpointError, match=rf"its suffix is '{suffix}'. Checkpoints end in \.pth, .*\.model"):
        read_checkpoint(tmp_path / f"a{suffix}")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".safetensors"])
@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_in_a_file_is_run_whatever_its_suffix(tmp_path: Path, suffix: str, legacy: bool) -> None:
    path, trace = tmp_path / f"a{suffix}", tmp_path / "trace"
    torch.save({"state_dict": Trap(trace)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match="nothing in it was run"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(Trap(trace)))
    with pytest.raises(CheckpointError, match="nothing in it was run"):
        read_checkpoint(path)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_damaged_safetensors_file_is_called_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(save({"w": torch.ones(4)})[:-3])
    with pytest.raises(CheckpointError, match="it is no safetensors file, or a damaged one"):
        read_checkpoint(tmp_path / name)
