"""Every target, by its name."""

from __future__ import annotations

from collections.abc import Sequence

from converters.errors import BundleError
from converters.targets.mxnet.target import MxnetTarget
from converters.targets.onnx.target import OnnxTarget
from converters.targets.target import Target
from converters.targets.tensorrt.target import TensorrtTarget
from converters.targets.wolfram.target import WolframTarget

TARGETS: dict[str, Target] = {
    target.name: target for target in (OnnxTarget(), MxnetTarget(), TensorrtTarget(), WolframTarget())
}


def find_target(where: object, name: str) -> Target:
    """The target of that name.

    Raises:
        BundleError: there is none; `where` is the bundle that names it.
    """
    if name not in TARGETS:
        raise BundleError(where, f"its target '{name}' is not known", "Update ganport")
    return TARGETS[name]


def with_companions(names: Sequence[str]) -> tuple[str, ...]:
    """The targets of these names and the targets that are always written with them, in the order of TARGETS."""
    wanted = {name for chosen in names for name in (chosen, *TARGETS[chosen].companions)}
    return tuple(name for name in TARGETS if name in wanted)
