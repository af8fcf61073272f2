"""Checkpoints with a training script's settings beside the weights: read, and nothing of the settings is run."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import reference.registry
from converters.errors import CheckpointError
from parity_tests.support.lama_states import make_lightning, make_state
from reference.checkpoint import read_checkpoint

RAN: list[object] = []


class Noisy:
    """Says so if anything of it is run while a file is read."""

    def __init__(self, *given: object) -> None:
        self.content = given

    def __setstate__(self, state: object) -> None:
        RAN.append(state)


class Reduced(Noisy):
    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ("argument",), {"a": 1}


@pytest.fixture
def install() -> Iterator[Callable[[type, str], type]]:
    """Makes a class look as if it were of another package, until the file is written."""
    added: list[str] = []

    def install_as(kind: type, name: str) -> type:
        module, _, plain = name.rpartition(".")
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            if ".".join(parts[:end]) not in sys.modules:
                added.append(".".join(parts[:end]))
                sys.modules[added[-1]] = ModuleType(added[-1])
        copy = type(plain, (kind,), {"__module__": module, "__qualname__": plain})
        setattr(sys.modules[module], plain, copy)
        return copy

    yield install_as
    for name in added:
        sys.modules.pop(name, None)


def save(path: Path, beside: dict[object, object]) -> Path:
    torch.save(make_lightning(make_state("fourier", 4, 1)) | beside, path)
    for name in [name for name in sys.modules if name.split(".")[0] in ("omegaconf", "pytorch_lightning", "stranger")]:
        del sys.modules[name]
    RAN.clear()
    return path


def test_lama_is_read_with_lightnings_callbacks_and_a_configuration_beside_it(
    install: Callable[[type, str], type], tmp_path: Path
) -> None:
    """As upstream's published files have them: a class as a key, objects with state, and references to plain types."""
    callback = install(Noisy, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint")
    config = install(Noisy, "omegaconf.dictconfig.DictConfig")
    listed = install(Reduced, "omegaconf.listconfig.ListConfig")
    settings = {
        "callbacks": {callback: {"best_model_score": torch.tensor(0.5)}},
        "hyper_parameters": {
            "config": config({"ngf": 64}, dict, Any),
            "list": listed(1, 2),
            "d": defaultdict(int, a=1),
        },
    }
    checkpoint = read_checkpoint(save(tmp_path / "best.ckpt", settings))
    assert reference.registry.identify(checkpoint).name == "lama"
    assert checkpoint.tensors.keys() == make_state("fourier", 4, 1).keys()
    assert RAN == []
    assert not {"omegaconf", "pytorch_lightning"} & sys.modules.keys()


@pytest.mark.parametrize("name", ["stranger.Config", "omegaconfig.DictConfig", "builtins_.eval"])
def test_class_of_another_package_is_refused(name: str, install: Callable[[type, str], type], tmp_path: Path) -> None:
    path = save(tmp_path / "best.ckpt", {"hyper_parameters": install(Noisy, name)(1)})
    with pytest.raises(CheckpointError, match="a class that is no tensor; nothing in it was run"):
        read_checkpoint(path)
    assert RAN == []


def test_function_of_a_known_package_is_not_called_and_what_lies_among_the_weights_is_refused(
    install: Callable[[type, str], type], tmp_path: Path
) -> None:
    content = make_lightning(make_state("fourier", 4, 1))
    weights = content["state_dict"]
    assert isinstance(weights, dict)
    weights["generator.model.1.bn_l.weight"] = install(Reduced, "omegaconf.dictconfig.DictConfig")()
    path = save(tmp_path / "best.ckpt", content)
    with pytest.raises(CheckpointError, match=r"'model\.1\.bn_l\.weight' is a Inert, not a tensor"):
        read_checkpoint(path)
    assert RAN == []
