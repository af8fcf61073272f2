"""Architectures and targets of other packages: found, proven like ours, and harmless if they are broken."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from parity_tests.support.command import require_refusal, run_ganport
from parity_tests.support.places import ROOT
from parity_tests.support.seeded_checkpoints import write_checkpoint
from reference import plugins

PAGE = ROOT / "docs" / "plugins.md"
OWN_NET, OWN_KEY = "own-net", "own.weight"
ARCHITECTURES, TARGETS = plugins.ARCHITECTURE_GROUP, plugins.TARGET_GROUP
Install = Callable[..., None]


def read_page() -> dict[str, str]:
    """The files of the page's package, by name."""
    text = PAGE.read_text(encoding="utf-8")
    return dict(re.findall(r"^`([\w.]+)`:\n\n<!-- [^\n]* -->\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def write_own_checkpoint(folder: Path) -> Path:
    weight = torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    torch.save({OWN_KEY: weight}, folder / "own.pth")
    return folder / "own.pth"


# ---- the package of the page, built and installed


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installed the page's package into."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name, text in read_page().items():
        (source / name).write_text(text)
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*command, "--disable-pip-version-check", "--target", folder, source], check=True)
    return folder


@pytest.fixture(scope="module")
def bundle(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the real command makes of a checkpoint of the page's net."""
    folder = tmp_path_factory.mktemp("bundles")
    run_beside(installed, "convert", write_own_checkpoint(folder), "--to", "onnx,npz", "-o", folder)
    return folder / OWN_NET


def run_beside(installed: Path, *args: str | Path) -> str:
    """Stdout of the real command, where the package is installed."""
    path = os.pathsep.join((str(installed), str(ROOT)))
    command = [sys.executable, "-m", "cli", *map(str, args)]
    done = subprocess.run(
        command, cwd=installed, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr
    return done.stdout


def test_page_is_a_whole_package() -> None:
    assert list(read_page()) == ["pyproject.toml", "own_net.py", "npz_target.py"]


def test_checkpoint_of_a_plugin_becomes_files_that_are_proven(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["architecture"] == OWN_NET
    assert [(artifact["target"], artifact["verified"]) for artifact in manifest["artifacts"]] == [
        ("onnx", True),
        ("npz", True),
    ]
    assert manifest["not_verified"] == {}
    rungs = [rung["rung"] for rung in json.loads((bundle / "parity.json").read_text())["rungs"]]
    assert {"export", "simplify", "onnx", "npz"} <= set(rungs)


def test_manifest_names_the_package_and_its_version(bundle: Path) -> None:
    versions = json.loads((bundle / "manifest.json").read_text())["versions"]
    assert versions["own-net"] == "0.1"
    assert versions["ganport"] == version("ganport")


def test_bundle_of_a_plugin_is_verified_where_it_is_installed_and_refused_elsewhere(
    installed: Path, bundle: Path
) -> None:
    replays = json.loads(run_beside(installed, "verify", bundle, "--json"))["replays"]
    assert [(replay["target"], replay["skipped"]) for replay in replays] == [("onnx", None), ("npz", None)]
    result = run_ganport("verify", bundle)
    assert result.exit_code == 1
    assert "its target 'npz' is not known. Update ganport, or install or repair the package" in result.stderr


# ---- packages that are broken, or claim what others have


def forget_plugins() -> None:
    plugins.find_plugins.cache_clear()
    plugins.OPENED.clear()
    plugins.LEFT_OUT.clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package into a folder of sys.path, as pip would: its entry points by group and name, and its modules."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    before = set(sys.modules)

    def put(package: str, points: Mapping[tuple[str, str], str], modules: Mapping[str, str] | None = None) -> None:
        info = site / f"{package.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        lines = [f"[{group}]\n{name} = {place}\n" for (group, name), place in points.items()]
        (info / "entry_points.txt").write_text("".join(lines))
        for name, text in (modules or {}).items():
            (site / name).write_text(text)
        importlib.invalidate_caches()
        forget_plugins()

    yield put
    forget_plugins()
    for module in set(sys.modules) - before:
        if module in ("ganport", "own_net", "npz_target", "broken"):
            del sys.modules[module]


@pytest.fixture
def edge_checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path, "edge")


def list_left_out(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if "left out" in line]


OWN_MODULE = read_page()["own_net.py"]
# What a package's module "broken" holds, and what is said of it.
BROKEN_ARCHITECTURES = {
    "that needs a module that is missing": ("import nowhere\n", "ModuleNotFoundError: No module named 'nowhere'"),
    "that is no Python": ("OWN_NET = (\n", "SyntaxError: '(' was never closed"),
    "that ends the program": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "whose module lacks the object": ("", "AttributeError: module 'broken' has no attribute 'OWN_NET'"),
    "that speaks to the terminal": ("raise ValueError('a\\x1b[2Jb\\nc')\n", "ValueError: a\\x1b[2Jb. "),
    "that is a class": (f"{OWN_MODULE}\nOWN_NET = OwnNet\n", "it names the class OwnNet, not an object of it"),
    "without a licence": (f"{OWN_MODULE}\ndel OwnNet.license_note\n", "its object has no text 'license_note'"),
    "without build": (f"{OWN_MODULE}\ndel OwnNet.build\n", "its object has no method 'build'"),
    "of another name": (f"{OWN_MODULE}\nOwnNet.name = 'other'\n", "its object calls itself 'other'"),
    "whose contract is none": (
        f"{OWN_MODULE}\nOwnNet.contract = lambda self, raw: {{}}\n",
        "TypeError: it returns a dict for a Contract",
    ),
    "whose match fails": (f"{OWN_MODULE}\nOwnNet.match = lambda self, shapes: 1 / 0\n", "ZeroDivisionError: division"),
    "whose match is none": (
        f"{OWN_MODULE}\nOwnNet.match = lambda self, shapes: True\n",
        "TypeError: it returns a bool for a KeyMatch",
    ),
}


@pytest.mark.parametrize("case", BROKEN_ARCHITECTURES)
def test_architecture_is_left_out_and_ours_go_on(case: str, install: Install, edge_checkpoint: Path) -> None:
    module, said = BROKEN_ARCHITECTURES[case]
    install("broken-net", {(ARCHITECTURES, OWN_NET): "broken:OWN_NET"}, {"broken.py": module})
    result = run_ganport("inspect", edge_checkpoint)
    assert result.exit_code == 0, result.stderr
    assert "architecture: edgeconnect-edge" in result.stdout
    (line,) = list_left_out(result.stderr)
    start = "ganport: package broken-net 1.2, entry point 'own-net' of ganport.architectures: "
    assert line.startswith(f"{start}{said}")
    assert line.endswith("It is left out: repair or uninstall that package.")


NPZ_MODULE = read_page()["npz_target.py"]
BROKEN_TARGETS = {
    "that needs a module that is missing": ("import nowhere\n", "ModuleNotFoundError: No module named 'nowhere'"),
    "that is a class": (f"{NPZ_MODULE}\nNPZ = NpzTarget\n", "it names no object of a subclass of Target"),
    "without write": (
        NPZ_MODULE.replace("def write(", "def writes("),
        "TypeError: Can't instantiate abstract class NpzTarget",
    ),
    "without needs": (f"{NPZ_MODULE}\ndel NpzTarget.needs\n", "its object's 'needs' is missing, or no str"),
    "of an unknown gate": (f"{NPZ_MODULE}\nNpzTarget.gate = 'loose'\n", "its gate 'loose' is none of fold, onnx"),
    "with an unknown companion": (f"{NPZ_MODULE}\nNpzTarget.companions = ('tar',)\n", "its companion 'tar' is none of"),
}


@pytest.mark.parametrize("case", BROKEN_TARGETS)
def test_target_is_left_out_and_refused_by_name(
    case: str, install: Install, edge_checkpoint: Path, tmp_path: Path
) -> None:
    module, said = BROKEN_TARGETS[case]
    install("broken-npz", {(TARGETS, "npz"): "broken:NPZ"}, {"broken.py": module})
    out = tmp_path / "out"
    result = run_ganport("convert", edge_checkpoint, "--to", "onnx,npz", "-o", out)
    assert result.exit_code == 4
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ganport: --to npz, package broken-npz 1.2, entry point 'npz' of ganport.targets: ")
    assert said in last
    assert not out.exists()


def test_broken_target_does_not_disturb_who_does_not_ask_for_it(install: Install, tmp_path: Path) -> None:
    install("own-net", {(ARCHITECTURES, OWN_NET): "own_net:OWN_NET"}, read_page())
    install("broken-npz", {(TARGETS, "npz"): "broken:NPZ"}, {"broken.py": "raise ValueError('imported')\n"})
    result = run_ganport("convert", write_own_checkpoint(tmp_path), "--to", "onnx", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert list_left_out(result.stderr) == []
    assert run_ganport("verify", tmp_path / "out" / OWN_NET).exit_code == 0


def test_checkpoint_is_proven_for_every_target_of_plugins_that_can_be_used(install: Install, tmp_path: Path) -> None:
    install("own-net", {(ARCHITECTURES, OWN_NET): "own_net:OWN_NET", (TARGETS, "npz"): "npz_target:NPZ"}, read_page())
    unable = NPZ_MODULE + "\nNpzTarget.name = 'unable'\nNpzTarget.missing_builder = lambda self: 1 / 0\n"
    install("broken-npz", {(TARGETS, "unable"): "broken:NPZ"}, {"broken.py": unable})
    result = run_ganport("parity", write_own_checkpoint(tmp_path))
    assert result.exit_code == 0, result.stderr
    (line,) = list_left_out(result.stderr)
    assert "entry point 'unable' of ganport.targets: ZeroDivisionError: division by zero. It is left out" in line
    assert re.search(r"^.*\bnpz\b.*passed", result.stdout, re.MULTILINE)


def test_formats_lists_plugins_and_what_is_left_out(install: Install) -> None:
    install("own-net", {(ARCHITECTURES, OWN_NET): "own_net:OWN_NET", (TARGETS, "npz"): "npz_target:NPZ"}, read_page())
    unable = "\nNpzTarget.name = 'unable'\nNpzTarget.missing_builder = lambda self: 1 / 0\n"
    install(
        "broken-net",
        {(ARCHITECTURES, "broken"): "broken:X", (TARGETS, "unable"): "unable:NPZ", (TARGETS, "A\x1b[2J"): "broken:X"},
        {"broken.py": "import nowhere\n", "unable.py": NPZ_MODULE + unable},
    )
    result = run_ganport("formats")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "npz: ONNX graph in a NumPy archive; needs nothing more" in lines
    assert "architecture own-net: of package own-net 1.2" in lines
    assert "target npz: of package own-net 1.2" in lines
    assert [re.search(r"entry point '(.*)' of", line)[1] for line in list_left_out(result.stdout)] == [
        "broken",
        "A\\x1b[2J",
        "unable",
    ]

    told = json.loads(run_ganport("formats", "--json").stdout)
    assert [(row["kind"], row["name"], row["package"]) for row in told["plugins"]] == [
        ("architecture", OWN_NET, "own-net"),
        ("target", "npz", "own-net"),
    ]
    assert [row["target"] for row in told["targets"]] == ["onnx", "mxnet", "trt", "wolfram", "npz"]
    assert len(told["left_out"]) == 3


@pytest.mark.parametrize(
    ("group", "name"), [(ARCHITECTURES, "edgeconnect-edge"), (ARCHITECTURES, "edgeconnect"), (ARCHITECTURES, "onnx")]
)
def test_architecture_by_a_name_of_ours_is_an_error(
    group: str, name: str, install: Install, edge_checkpoint: Path
) -> None:
    install("thief", {(group, name): "own_net:OWN_NET"})
    require_refusal(
        run_ganport("inspect", edge_checkpoint),
        f"package thief 1.2, entry point '{name}' of {group}: package ganport {version('ganport')} has that name too. "
        "Uninstall one of the two packages.",
    )


@pytest.mark.parametrize("name", ["onnx", "torch"])
def test_target_by_a_name_of_ours_is_an_error(name: str, install: Install, edge_checkpoint: Path) -> None:
    install("thief", {(TARGETS, name): "npz_target:NPZ"})
    said = f"entry point '{name}' of ganport.targets: package ganport {version('ganport')} has that name too"
    require_refusal(run_ganport("convert", edge_checkpoint, "--to", "mxnet"), said)
    require_refusal(run_ganport("formats"), said)


def test_name_of_two_packages_is_an_error_that_names_both(install: Install, edge_checkpoint: Path) -> None:
    points = {(ARCHITECTURES, OWN_NET): "own_net:OWN_NET", (TARGETS, "npz"): "npz_target:NPZ"}
    install("first", points, read_page())
    install("second", points)
    for command in (("inspect", edge_checkpoint), ("convert", edge_checkpoint, "--to", "npz"), ("formats",)):
        line = run_ganport(*command).stderr.splitlines()[-1]
        assert "package first 1.2" in line
        assert "package second 1.2" in line
    assert run_ganport("convert", "--help").exit_code == 0


def test_file_that_a_plugin_and_ours_know_is_refused_with_the_packages_name(
    install: Install, edge_checkpoint: Path
) -> None:
    twin = (
        "import dataclasses\nfrom reference.edgeconnect import EDGE\n\nTWIN = dataclasses.replace(EDGE, name='twin')\n"
    )
    install("twins", {(ARCHITECTURES, "twin"): "broken:TWIN"}, {"broken.py": twin})
    require_refusal(
        run_ganport("inspect", edge_checkpoint),
        "several architectures fit it: edgeconnect-edge, twin of package twins. Uninstall a package whose net",
    )


def test_refusals_name_the_architectures_of_plugins(install: Install, tmp_path: Path) -> None:
    install("own-net", {(ARCHITECTURES, OWN_NET): "own_net:OWN_NET"}, read_page())
    torch.save({OWN_KEY: torch.zeros(3, 3, 5, 5)}, tmp_path / "wide.pth")
    result = run_ganport("inspect", tmp_path / "wide.pth")
    require_refusal(result, "The nearest is own-net: 1 misshapen (own.weight is (3, 3, 5, 5), not (3, 3, 3, 3))")
    assert "style-transfer, own-net, or convert the net's own torch module" in result.stderr


def test_target_of_a_plugin_that_computes_something_else_is_caught(install: Install, tmp_path: Path) -> None:
    wrong = NPZ_MODULE.replace("return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))", "WRONG")
    wrong = wrong.replace("WRONG", "return {names[0]: self._session.run(names, dict(feeds))[0] * np.float32(0.999)}")
    points = {(ARCHITECTURES, OWN_NET): "own_net:OWN_NET", (TARGETS, "npz"): "npz_target:NPZ"}
    install("own-net", points, {**read_page(), "npz_target.py": wrong})
    result = run_ganport("convert", write_own_checkpoint(tmp_path), "--to", "npz", "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "rung 'npz', output 'result'" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "out" / OWN_NET).exists()


def test_help_looks_up_no_plugins() -> None:
    script = "import sys, cli; cli.main(['convert', '--help'], standalone_mode=False)"
    script += "; print('importlib.metadata' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == "False\n"
