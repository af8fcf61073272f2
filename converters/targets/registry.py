"""Every target, by its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from converters.errors import BundleError, ConversionError, MissingPackageError
from converters.parity.gates import GATES
from converters.targets.mxnet.target import MxnetTarget
from converters.targets.onnx.target import OnnxTarget
from converters.targets.target import Target
from converters.targets.tensorrt.target import TensorrtTarget
from converters.targets.wolfram.target import WolframTarget
from reference.plugins import LEFT_OUT, TARGET_GROUP, Plugin, find_plugins, leave_out_if_it_fails, open_plugins

OURS: Mapping[str, Target] = {
    target.name: target for target in (OnnxTarget(), MxnetTarget(), TensorrtTarget(), WolframTarget())
}
# What a target of another package must have, besides the methods, and of which type.
ATTRIBUTES = {"name": str, "gate": str, "formats": tuple, "needs": str, "runtime": str}


class _Targets(Mapping[str, Target]):
    """ganport's own targets, then those of other packages, which are imported when one is asked for first."""

    def __getitem__(self, name: str) -> Target:
        return OURS[name] if name in OURS else _open_plugins()[name][1]

    def __iter__(self) -> Iterator[str]:
        return iter((*OURS, *_open_plugins()))

    def __len__(self) -> int:
        return len(OURS) + len(_open_plugins())


TARGETS: Mapping[str, Target] = _Targets()


def _open_plugins() -> Mapping[str, tuple[Plugin, Target]]:
    """The targets of other packages, by name, in alphabetical order."""
    return open_plugins(TARGET_GROUP, tuple(OURS), _find_fault)


def _find_fault(name: str, offered: object) -> str | None:
    """What keeps an object from being the target `name`."""
    if not isinstance(offered, Target):
        return "it names no object of a subclass of Target"
    for attribute, kind in ATTRIBUTES.items():
        if not isinstance(getattr(offered, attribute, None), kind):
            return f"its object's '{attribute}' is missing, or no {kind.__name__}"
    if offered.name != name:
        return f"its object calls itself '{offered.name}'"
    if offered.gate not in GATES:
        return f"its gate '{offered.gate}' is none of {', '.join(GATES)}"
    strange = [companion for companion in offered.companions if companion not in OURS]
    return f"its companion '{strange[0]}' is none of {', '.join(OURS)}" if strange else None


def list_plugins() -> tuple[Plugin, ...]:
    """The targets of other packages that can be used."""
    return tuple(plugin for plugin, _ in _open_plugins().values())


def list_packages(names: Iterable[str]) -> dict[str, str]:
    """Version by name of the packages that the targets of these names are from, ganport left out."""
    plugins = [_open_plugins()[name][0] for name in names if name not in OURS]
    return {plugin.package: plugin.version for plugin in plugins}


def list_missing() -> dict[str, tuple[str | None, str | None]]:
    """Why this machine cannot write each target's files, and why it cannot run them; None if it can.

    A target of another package that fails to say so is left out.
    """
    missing = {name: (target.missing_builder(), target.missing_verifier()) for name, target in OURS.items()}
    for name, (plugin, target) in _open_plugins().items():
        with leave_out_if_it_fails(plugin):
            missing[name] = (target.missing_builder(), target.missing_verifier())
    return missing


def find_target(where: object, name: str) -> Target:
    """The target of that name.

    Raises:
        BundleError: there is none; `where` is the bundle that names it.
    """
    if name not in TARGETS:
        met = f"its target '{name}' is not known"
        raise BundleError(where, met, "Update ganport, or install or repair the package that adds it")
    return TARGETS[name]


def with_companions(names: Sequence[str]) -> tuple[str, ...]:
    """The targets of these names and the targets that are always written with them, in the order of TARGETS.

    Packages whose targets are not among them are not imported.

    Raises:
        PluginError: two packages give the same name.
        MissingPackageError: a target of another package is left out.
        ConversionError: there is no target of this name.
    """
    for name in names:
        if name not in TARGETS:
            error = LEFT_OUT.get((TARGET_GROUP, name))
            if error is not None:
                raise MissingPackageError(f"--to {name}, {error.where}", error.met, error.remedy)
            raise ConversionError(f"--to {name}", "there is no such target", f"Targets are {', '.join(TARGETS)}")
    wanted = {name for chosen in names for name in (chosen, *TARGETS[chosen].companions)}
    known = (*OURS, *(plugin.name for plugin in find_plugins(TARGET_GROUP, tuple(OURS))))
    return tuple(name for name in known if name in wanted)
