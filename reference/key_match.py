"""How a checkpoint's keys and shapes differ from a net's, and the checkpoint's weights put into the net."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from converters.errors import ArchitectureError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from reference.checkpoint import Checkpoint

Shapes = Mapping[str, tuple[int, ...]]

SHOWN = 3
# A shape that says more is not believed: nets are laid out by what it says.
LARGEST_BASE = 4096


@dataclass(frozen=True)
class KeyMatch:
    """How a checkpoint's keys and shapes differ from an architecture's."""

    architecture: str
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    misshapen: tuple[str, ...]

    @property
    def faults(self) -> int:
        return len(self.missing) + len(self.extra) + len(self.misshapen)

    def __str__(self) -> str:
        kinds = (("missing", self.missing), ("extra", self.extra), ("misshapen", self.misshapen))
        return "; ".join(f"{len(keys)} {kind} ({shorten(keys)})" for kind, keys in kinds if keys)


def compare_keys(architecture: str, shapes: Shapes, wanted: Shapes, optional: Shapes) -> KeyMatch:
    """How a file's `shapes` differ from what is wanted, and from what is optional: what it may hold or not."""
    known = {**optional, **wanted}
    misshapen = [
        f"{key} is {shapes[key]}, not {shape}" for key, shape in known.items() if key in shapes and shapes[key] != shape
    ]
    missing = [key for key in wanted if key not in shapes]
    return KeyMatch(architecture, tuple(missing), tuple(sorted(shapes.keys() - known)), tuple(misshapen))


def nearest_of(matches: Iterable[KeyMatch]) -> KeyMatch:
    """The one that has most of the file's keys; of several, the one with most of the shapes, then with least missing.

    Not the one with the fewest faults: where a file is mostly something else, that is whichever net has fewest keys.
    """
    return min(matches, key=lambda match: (len(match.extra), len(match.misshapen), len(match.missing)))


def list_shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a checkpoint or of a net's state dict."""
    return {key: tuple(value.shape) for key, value in tensors.items()}


def read_base(shapes: Shapes, key: str, usual: int) -> int:
    """The channels that the convolution `key` gives, or `usual` where it gives none."""
    channels = next(iter(shapes.get(key, ())), 0)
    return channels if 0 < channels <= LARGEST_BASE else usual


def require_floating(checkpoint: Checkpoint, keys: Iterable[str]) -> None:
    """
    Raises:
        ArchitectureError: the tensor of one of the keys is no floating point tensor.
    """
    for key in keys:
        dtype = checkpoint.tensors[key].dtype
        if not dtype.is_floating_point:
            raise ArchitectureError(
                checkpoint.path, f"'{key}' is {dtype}", "Save the weights as floating point numbers"
            )


def load_weights(net: nn.Module, checkpoint: Checkpoint) -> None:
    """Give `net` what the checkpoint has for its keys.

    Raises:
        ArchitectureError: a weight is no floating point tensor.
    """
    weights = {key: checkpoint.tensors[key] for key in net.state_dict()}
    require_floating(checkpoint, weights)
    net.load_state_dict(weights, strict=True)
    net.requires_grad_(False)


def shorten(keys: Sequence[str]) -> str:
    """The first few of them."""
    return ", ".join(keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")
