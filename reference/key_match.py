"""Compare a checkpoint's keys and shapes with a net's, and load the checkpoint's weights into the net."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from converters.errors import ArchitectureError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from reference.checkpoint_data import Checkpoint

Shapes = Mapping[str, tuple[int, ...]]

MAX_KEYS_SHOWN = 3
# A net is laid out with the base channels that a file's shape gives. A larger number than this is taken for damage.
MAX_BASE = 4096


@dataclass(frozen=True)
class KeyMatch:
    """How a checkpoint's keys and shapes differ from an architecture's.

    Attributes:
        architecture: The architecture's name.
        missing: Keys that the architecture needs and the file lacks.
        extra: Keys that the file holds and the architecture does not know.
        misshapen: One sentence for each key in both whose shape in the file is wrong.
    """

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
    """Compare a file's keys and shapes with an architecture's.

    Args:
        architecture: The architecture's name.
        shapes: Shape by key in the file.
        wanted: Shape by key that the file must hold.
        optional: Shape by key that the file may hold or lack.
    """
    known = {**optional, **wanted}
    misshapen = [
        f"{key} is {shapes[key]}, not {shape}" for key, shape in known.items() if key in shapes and shapes[key] != shape
    ]
    missing = [key for key in wanted if key not in shapes]
    return KeyMatch(architecture, tuple(missing), tuple(sorted(shapes.keys() - known)), tuple(misshapen))


def nearest_of(matches: Iterable[KeyMatch]) -> KeyMatch:
    """The match that leaves the fewest of the file's keys unknown.

    Ties go to the fewest misshapen keys, then to the fewest missing ones. The number of faults would mislead: for a
    file that is mostly something else, the smallest net has the fewest.
    """
    return min(matches, key=lambda match: (len(match.extra), len(match.misshapen), len(match.missing)))


def list_shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shape by key, for the tensors of a checkpoint or of a net's state dict."""
    return {key: tuple(value.shape) for key, value in tensors.items()}


def read_base(shapes: Shapes, key: str, usual: int) -> int:
    """The output channels of the convolution whose weight is `key`.

    Returns:
        The length of the weight's first axis; `usual` if there is no such weight or the length is not in 1..MAX_BASE.
    """
    channels = next(iter(shapes.get(key, ())), 0)
    return channels if 0 < channels <= MAX_BASE else usual


def require_floating(checkpoint: Checkpoint, keys: Iterable[str]) -> None:
    """Refuse a checkpoint that holds anything but floating point numbers under one of `keys`.

    Raises:
        ArchitectureError: a tensor has another dtype. The first one is named.
    """
    for key in keys:
        dtype = checkpoint.tensors[key].dtype
        if not dtype.is_floating_point:
            raise ArchitectureError(
                checkpoint.path, f"'{key}' is {dtype}", "Save the weights as floating point numbers"
            )


def load_weights(net: nn.Module, checkpoint: Checkpoint, renames: Mapping[str, str] | None = None) -> None:
    """Load the checkpoint's tensors into `net` and freeze them. The checkpoint's other tensors are ignored.

    Args:
        net: The module to fill.
        checkpoint: A file that matches the net.
        renames: The key in `net` by the key in the file, for tensors that the file must hold. None: keys are the same.

    Raises:
        ArchitectureError: a tensor to load is not floating point.
    """
    renames = renames or {key: key for key in net.state_dict()}
    require_floating(checkpoint, renames)
    net.load_state_dict({ours: checkpoint.tensors[theirs] for theirs, ours in renames.items()}, strict=True)
    net.requires_grad_(False)


def shorten(keys: Sequence[str]) -> str:
    """The first MAX_KEYS_SHOWN keys, separated by commas, with ", ..." for the rest."""
    return ", ".join(keys[:MAX_KEYS_SHOWN]) + (", ..." if len(keys) > MAX_KEYS_SHOWN else "")
