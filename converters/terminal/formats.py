"""What `ganport formats` prints: targets, plugins, and what was proven."""

from __future__ import annotations

from typing import Any

from converters.targets.proven import read_support
from converters.targets.registry import TARGETS, list_missing
from converters.targets.registry import list_plugins as list_target_plugins
from converters.terminal.output import print_json, print_line
from converters.terminal.tables import print_support
from reference.plugins import list_left_out
from reference.registry import list_plugins as list_architecture_plugins


def print_formats(as_json: bool) -> None:
    """Print every target, what it needs and what is missing here; each plugin; each pair that was proven."""
    rows: list[dict[str, Any]] = [
        {
            "target": name,
            "files": list(TARGETS[name].formats),
            "needs": TARGETS[name].needs,
            "missing_to_build": to_build,
            "missing_to_verify": to_verify,
        }
        for name, (to_build, to_verify) in list_missing().items()
    ]
    plugins = [
        {"kind": kind, "name": plugin.name, "package": plugin.package, "version": plugin.version}
        for kind, found in (("architecture", list_architecture_plugins()), ("target", list_target_plugins()))
        for plugin in found
    ]
    if as_json:
        left_out = [{"where": error.where, "met": error.met, "remedy": error.remedy} for error in list_left_out()]
        proven = [row.to_json() for row in read_support()]
        print_json({"targets": rows, "plugins": plugins, "left_out": left_out, "proven": proven})
        return
    for row in rows:
        print_line(f"{row['target']}: {', '.join(row['files'])}; needs {row['needs']}")
        for what in ("missing_to_build", "missing_to_verify"):
            if row[what]:
                print_line(f"  here: {row[what]}")
    for plugin in plugins:
        print_line(f"{plugin['kind']} {plugin['name']}: of package {plugin['package']} {plugin['version']}")
    for error in list_left_out():
        print_line(error)
    print_support(read_support())
