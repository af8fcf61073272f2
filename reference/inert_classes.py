"""Read checkpoints of training scripts that hold settings beside the weights, as objects of classes not installed here.

Lightning writes its callbacks and OmegaConf's configurations next to the state dict; LaMa's published files have both.
Each such class is replaced by an empty one of ours, so that nothing of theirs is imported or run.
"""

from __future__ import annotations

import io
from typing import Any

# What may be replaced: whole packages, and single names of the standard library that configurations refer to.
PACKAGES = ("lightning", "omegaconf", "pytorch_lightning", "saicinpainting")
DEFAULTS = "collections.defaultdict"
NAMES = (
    *("argparse.Namespace", DEFAULTS, "pathlib.PosixPath", "typing.Any", "typing.Union"),
    *(f"builtins.{name}" for name in ("bool", "bytes", "dict", "float", "int", "list", "set", "str", "tuple")),
)


class Inert:
    """Takes any arguments and any state, and keeps none."""

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def _plain_dict(*_: object) -> dict[object, object]:
    """In place of a defaultdict: the loader puts items into plain dicts only."""
    return {}


def load_with_inert_classes(data: bytes) -> object | None:
    """What torch's weights-only loader reads from a zip file in which classes of PACKAGES and NAMES are inert.

    Returns:
        None if the file asks for any other class or function.

    Raises:
        pickle.UnpicklingError: it asks to do something with them that weights need not.
    """
    import torch
    from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

    names = get_unsafe_globals_in_checkpoint(io.BytesIO(data))
    if not names or any(name.split(".")[0] not in PACKAGES and name not in NAMES for name in names):
        return None
    stand_ins: list[Any] = [(_plain_dict if name == DEFAULTS else type("Inert", (Inert,), {}), name) for name in names]
    with safe_globals(stand_ins):
        content: object = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return content
