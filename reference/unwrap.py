"""Find the generator's state dict in what a checkpoint file holds: under the keys and prefixes of training scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from converters.errors import CheckpointError
from reference.key_match import KeyMatch, Shapes

# Where training scripts keep a generator's state dict: under one of these keys, or, as Lightning does with the parts of
# a module, in a larger state dict, whose keys for it start with one of these and a full stop.
GENERATOR_KEYS = (
    *("generator", "G", "model", "state_dict", "model_state_dict", "netG", "params", "params_ema", "generator_ema"),
)
# What DataParallel and torch.compile put before every key, in any order and number.
WRAPPER_PREFIXES = ("module.", "_orig_mod.")
SAVE_ALONE = f"Save the generator's state dict alone, or as one of {', '.join(map(repr, GENERATOR_KEYS))}"
# A string beside a state dict is recorded if it has no more characters.
MAX_SETTING_LENGTH = 1000

# The match of the nearest architecture.
FindNearest = Callable[[Shapes], KeyMatch]


def find_state(path: Path, content: object, find_nearest: FindNearest) -> tuple[dict[str, Any], dict[str, Any]]:
    """Find the generator's state dict in the file's content.

    Where several places may hold it, it is the one whose keys and shapes an architecture has. If no place's are, it is
    the one with the largest share of keys that the nearest architecture knows, so that a message can tell the rest.

    Args:
        path: The file, for messages.
        content: What the file holds; nothing of it is trusted.
        find_nearest: Called with keys and shapes.

    Returns:
        tensors: The state dict without the wrappers' prefixes; its values are not checked yet.
        settings: The numbers and strings next to a wrapped state dict; empty for a bare one.

    Raises:
        CheckpointError: there is no state dict, several generators fit, or several might be meant and none fits.
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(
            path, f"it holds a {type(content).__name__}, not a state dict", "Save the generator's state dict"
        )
    wrapped = [key for key in GENERATOR_KEYS if isinstance(content.get(key), Mapping)]
    if not wrapped:
        found = [str(key) for key, value in content.items() if _is_state_dict(value)]
        if len(found) > 1:
            _refuse_several(path, found)
        if "discriminator" in content or "D" in content:
            raise CheckpointError(
                path, "it holds a discriminator", "Give the generator's file, the one named ..._gen.pth"
            )
    settings = {str(key): value for key, value in content.items() if _is_setting(value)} if wrapped else {}
    places = {
        name: state for key in wrapped or [""] for name, state in _list_places(key, content[key] if key else content)
    }
    if len(places) == 1:
        return next(iter(places.values())), settings
    matches = {name: find_nearest(list_plain_shapes(state)) for name, state in places.items()}
    fitting = [name for name, match in matches.items() if not match.faults]
    if len(fitting) > 1:
        raise CheckpointError(
            path,
            f"it holds several generators: {', '.join(fitting)}",
            "Save the state dict of the one that you want alone, with torch.save",
        )
    if fitting:
        return places[fitting[0]], settings
    if len(wrapped) > 1:
        _refuse_several(path, wrapped)
    return max(places.items(), key=lambda place: _share_known(place[1], matches[place[0]]))[1], settings


def _refuse_several(path: Path, keys: list[str]) -> None:
    raise CheckpointError(path, f"it holds several state dicts: {', '.join(keys)}", "Save one generator's alone")


def _list_places(key: str, content: Mapping[Any, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The state dict under `key` itself, then its parts behind each prefix that some of its keys have.

    Yields:
        name: How a message calls it, such as "'state_dict'" or "'generator.' in 'state_dict'".
        state: Its values by keys that lack the prefix.
    """
    state = _strip({str(name): value for name, value in content.items()})
    yield repr(key) if key else "the whole", state
    for name in GENERATOR_KEYS:
        prefix = f"{name}."
        if part := {key: value for key, value in state.items() if key.startswith(prefix)}:
            place = repr(prefix) + (f" in {key!r}" if key else "")
            yield place, _strip({key.removeprefix(prefix): value for key, value in part.items()})


def _strip(state: dict[str, Any]) -> dict[str, Any]:
    """Take off the prefixes of WRAPPER_PREFIXES that every key has."""
    while state:
        prefix = next((prefix for prefix in WRAPPER_PREFIXES if all(key.startswith(prefix) for key in state)), None)
        if prefix is None:
            break
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def list_plain_shapes(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape by key; of what is no plain tensor, the shape of nothing: (-1,)."""
    import torch

    return {
        key: tuple(value.shape)
        if isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_nested
        else (-1,)
        for key, value in state.items()
    }


def _share_known(state: Mapping[str, Any], match: KeyMatch) -> float:
    """The share of keys that the nearest architecture knows."""
    return 1 - len(match.extra) / max(len(state), 1)


def _is_setting(value: object) -> bool:
    """Whether it is a number or a short string."""
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= MAX_SETTING_LENGTH)


def _is_state_dict(value: object) -> bool:
    import torch

    return isinstance(value, Mapping) and bool(value) and all(isinstance(v, torch.Tensor) for v in value.values())
