"""What other installed packages add to ganport, found by their entry points.

A plugin that cannot be used is left out and remembered in LEFT_OUT, so that a package that is broken disturbs only who
needs it. Imports nothing heavy: the command line looks up names here.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from converters.errors import MAX_SAID, PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ARCHITECTURE_GROUP = "ganport.architectures"
TARGET_GROUP = "ganport.targets"
# A name becomes a folder's and a file's, and stands in a comma-separated list.
PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*\Z", re.ASCII)
REMEDY = "It is left out: repair or uninstall that package"
# Names that no plugin may have: in a manifest they stand for what is no architecture, in a benchmark for no target.
RESERVED = {ARCHITECTURE_GROUP: ("onnx",), TARGET_GROUP: ("torch",)}

# Why a plugin is left out, by its group and name.
LEFT_OUT: dict[tuple[str, str], PluginError] = {}
# The object of each plugin that was imported.
OPENED: dict[Plugin, Any] = {}


@dataclass(frozen=True)
class Plugin:
    """An entry point of an installed package.

    Attributes:
        group: ARCHITECTURE_GROUP or TARGET_GROUP.
        name: Of the architecture or the target.
        package: Name of the package.
        version: Of the package.
    """

    group: str
    name: str
    package: str
    version: str
    _point: EntryPoint = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"package {self.package} {self.version}, entry point '{self.name}' of {self.group}"

    def load(self) -> Any:
        """Import the object that the entry point names."""
        return self._point.load()


@functools.cache
def find_plugins(group: str, taken: tuple[str, ...]) -> tuple[Plugin, ...]:
    """The plugins of a group, sorted by name; none of their modules is imported.

    Args:
        group: ARCHITECTURE_GROUP or TARGET_GROUP.
        taken: ganport's own names in that group, RESERVED left out.

    Raises:
        PluginError: two packages, of which ganport may be one, give the same name.
    """
    from importlib.metadata import entry_points, version  # takes a tenth of a second

    try:
        points = [(point, point.dist) for point in entry_points(group=group)]
    except Exception as error:  # a package's list of entry points is damaged, and Python does not say which one's
        met = f"Python cannot read them ({describe(error)})"
        LEFT_OUT[group, ""] = PluginError(f"the installed packages' entry points of {group}", met, "All are left out")
        return ()
    plugins = [
        Plugin(group, point.name, (dist and dist.name) or "?", (dist and dist.version) or "?", point)
        for point, dist in points
    ]
    owners = {name: f"ganport {version('ganport')}" for name in (*taken, *RESERVED[group])} if plugins else {}
    for plugin in plugins:
        if plugin.name in owners:
            met = f"package {owners[plugin.name]} has that name too"
            raise PluginError(plugin, met, "Uninstall one of the two packages")
        owners[plugin.name] = f"{plugin.package} {plugin.version}"
        if not PLAIN_NAME.match(plugin.name):
            leave_out(plugin, "its name holds more than lower-case letters, digits, dots, underscores and hyphens")
    usable = [plugin for plugin in plugins if (group, plugin.name) not in LEFT_OUT]
    return tuple(sorted(usable, key=lambda plugin: plugin.name))


def open_plugins(
    group: str, taken: tuple[str, ...], find_fault: Callable[[str, Any], str | None]
) -> dict[str, tuple[Plugin, Any]]:
    """Import a group's plugins: each with its object, by name. What cannot be used is left out, at this call or later.

    Args:
        group: See find_plugins.
        taken: See find_plugins.
        find_fault: Called with a plugin's name and object; says what the object lacks, or returns None.

    Raises:
        PluginError: see find_plugins.
    """
    for plugin in find_plugins(group, taken):
        if plugin not in OPENED and (group, plugin.name) not in LEFT_OUT:
            with leave_out_if_it_fails(plugin):
                offered = plugin.load()
                fault = find_fault(plugin.name, offered)
                if fault is not None:
                    leave_out(plugin, fault)
                OPENED[plugin] = offered
    return {
        plugin.name: (plugin, OPENED[plugin])
        for plugin in find_plugins(group, taken)
        if plugin in OPENED and (group, plugin.name) not in LEFT_OUT
    }


@contextlib.contextmanager
def leave_out_if_it_fails(plugin: Plugin) -> Iterator[None]:
    """Run code of a plugin. If it raises, whatever it is, the plugin is left out and the program goes on."""
    try:
        yield
    except (Exception, SystemExit) as error:
        leave_out(plugin, describe(error))


def list_left_out() -> list[PluginError]:
    """Why plugins are left out, so far as they were looked for; by group and name."""
    return [error for _, error in sorted(LEFT_OUT.items())]


def leave_out(plugin: Plugin, why: str) -> None:
    LEFT_OUT[plugin.group, plugin.name] = PluginError(plugin, why, REMEDY)


def describe(error: BaseException) -> str:
    """The exception's type and the first line of its text."""
    said = next(iter(str(error).strip().splitlines()), "").rstrip(".")[:MAX_SAID]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
