"""The rooms of the code: who may import whom, and that ARCHITECTURE.md tells the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from parity_tests.support.imports import PRODUCT_MODULES, find_imports
from parity_tests.support.places import ROOT

BASE = ("errors", "tensors")
# Each room, from the lowest up, and the rooms below it whose modules it may import, for types only too. A room is a
# folder with what is inside it, or a module that stands alone. Names are paths below `converters`, or after a slash
# paths from the root.
MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    "errors": (),
    "files": (),
    "text": (),
    "tensors": ("errors",),
    "/consumers": BASE,
    "runners": BASE,
    "photos": BASE,
    "/reference": BASE,
    "onnx_graph": BASE,
    "rewrites": (*BASE, "onnx_graph"),
    "parity": (*BASE, "files", "photos", "/reference", "runners", "text"),
    "sources": (*BASE, "/reference", "onnx_graph", "parity", "rewrites", "runners"),
    "targets": (*BASE, "parity", "rewrites", "runners"),
    "targets/onnx": (*BASE, "files", "onnx_graph", "rewrites", "runners", "targets", "text"),
    "targets/mxnet": (*BASE, "files", "onnx_graph", "rewrites", "runners", "targets", "text"),
    "targets/tensorrt": (*BASE, "files", "onnx_graph", "runners", "targets", "targets/onnx", "text"),
    "targets/wolfram": (*BASE, "files", "onnx_graph", "parity", "runners", "targets", "text"),
    "targets/registry": (
        *("errors", "/reference", "parity", "targets", "targets/onnx", "targets/mxnet", "targets/tensorrt"),
        "targets/wolfram",
    ),
    "targets/proven": (),
    "bundle": (*BASE, "/reference", "files", "parity", "runners", "sources", "targets", "targets/registry", "text"),
    "/consumers/server": (*BASE, "bundle", "files", "photos", "runners"),
    "convert": (
        *(*BASE, "/reference", "bundle", "parity", "rewrites", "runners", "sources", "targets", "targets/registry"),
    ),
    "prove": (*BASE, "/reference", "bundle", "parity", "runners", "sources", "targets"),
    "verify": (*BASE, "bundle", "parity", "targets"),
    "inpaint": (*BASE, "/reference", "bundle", "photos", "runners"),
    "photos/many": (*BASE, "bundle", "files", "inpaint", "photos", "runners"),
    "bench": (
        *(*BASE, "/reference", "bundle", "files", "parity", "runners", "targets"),
        *("targets/registry", "targets/tensorrt"),
    ),
    "terminal": (
        *("errors", "/reference", "bench", "bundle", "convert", "inpaint", "parity", "photos"),
        *("photos/many", "runners", "sources", "targets", "targets/onnx", "targets/registry", "targets/proven"),
        *("targets/tensorrt", "tensors", "text", "/consumers"),
    ),
    "from_python": (
        *(*BASE, "/reference", "bench", "bundle", "convert", "inpaint", "parity", "photos", "prove", "runners"),
        *("sources", "targets", "targets/registry", "terminal"),
    ),
    "/cli.py": (*("errors", "bench", "convert", "parity", "prove", "targets/registry", "terminal", "verify"),),
    "/ganport.py": (
        *(*BASE, "/reference", "bench", "bundle", "parity", "runners", "targets", "verify", "from_python", "/cli.py"),
    ),
}


def name_room(module: str) -> str:
    """The room of a module, given by its dotted name: the longest entry of MAY_IMPORT that it lies in."""
    path = module.replace(".", "/")
    place = path.removeprefix("converters/") if path.startswith("converters/") else f"/{path}"
    place = f"{place}.py" if place in ("/cli", "/ganport") else place
    rooms = [room for room in MAY_IMPORT if place == room or place.startswith(f"{room}/")]
    return max(rooms, key=len, default="")


def name_module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def list_arrows() -> Iterator[tuple[str, str]]:
    """(importing module, imported module) of our own, imports inside functions and for types included."""
    known = {name_module(path) for path in PRODUCT_MODULES}
    for path in PRODUCT_MODULES:
        for name in find_imports(path, for_types_too=True):
            found = [module for module in (name, name.rpartition(".")[0]) if module in known]
            if found and found[0] not in ("converters", "reference", "consumers"):
                yield name_module(path), found[0]


def find_faults(arrows: Iterator[tuple[str, str]]) -> list[str]:
    """A sentence for each import that no room allows."""
    faults = []
    for importer, imported in arrows:
        room, other = name_room(importer), name_room(imported)
        if room != other and other not in MAY_IMPORT[room]:
            faults.append(f"{importer} imports {imported}: {room} may not import {other}")
    return faults


def test_every_module_lies_in_a_room() -> None:
    modules = {name_module(path) for path in PRODUCT_MODULES} - {"converters"}
    assert [module for module in sorted(modules) if not name_room(module)] == []
    assert set(map(name_room, modules)) == MAY_IMPORT.keys()


def test_no_room_imports_what_it_may_not() -> None:
    assert find_faults(list_arrows()) == []


def test_rule_has_no_arrow_that_runs_up_and_none_that_nobody_needs() -> None:
    rooms = list(MAY_IMPORT)
    for room, below in MAY_IMPORT.items():
        assert all(rooms.index(other) < rooms.index(room) for other in below), room
    used = {(name_room(importer), name_room(imported)) for importer, imported in list_arrows()}
    unused = {(room, other) for room, below in MAY_IMPORT.items() for other in below} - used
    assert unused - {(room, base) for room in MAY_IMPORT for base in BASE} == set()


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("converters.onnx_graph.nodes", "converters.rewrites.internal_ops"),
        ("converters.parity.compare", "converters.bundle.folder"),
        ("converters.sources.source", "converters.targets.target"),
        ("converters.targets.target", "converters.targets.onnx.target"),
        ("converters.targets.mxnet.write", "converters.targets.wolfram.write"),
        ("reference.registry", "converters.sources.torch_source"),
    ],
)
def test_upward_import_is_found(importer: str, imported: str) -> None:
    (fault,) = find_faults(iter([(importer, imported)]))
    assert fault.startswith(f"{importer} imports {imported}: ")


def test_modules_of_one_room_do_not_import_each_other_in_a_circle() -> None:
    arrows: dict[str, set[str]] = {}
    for importer, imported in list_arrows():
        arrows.setdefault(importer, set()).add(imported)

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for imported in arrows.get(module, ()):
                visit(imported, (*path, module))
            done.add(module)

    done: set[str] = set()
    for module in arrows:
        visit(module, ())


def test_architecture_page_tells_the_rule() -> None:
    """Its table has a row for each room, in this order, with the same rooms below it."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| ([^|]*) \|$", text, re.MULTILINE)
    told = {room: set(re.findall(r"`([^`]+)`", below)) for room, below in rows}
    assert list(told) == list(MAY_IMPORT)
    assert told == {room: set(below) for room, below in MAY_IMPORT.items()}


def test_files_are_short_and_the_top_is_seen_at_a_glance() -> None:
    rooms = [ROOT / name for name in ("parity_tests", "benchmarks", "consumers")]
    others = [path for room in rooms for kind in ("py", "cpp", "hpp", "wl", "sh") for path in room.rglob(f"*.{kind}")]
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in (*PRODUCT_MODULES, *others)
    }
    assert {file: count for file, count in lines.items() if count > 400} == {}
    assert len([path for path in (ROOT / "converters").iterdir() if path.name not in ("__pycache__", "py.typed")]) <= 20
