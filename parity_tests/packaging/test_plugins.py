"""Architectures and targets of other packages: found, proven like ours, and harmless if they are broken."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from parity_tests.support.command import run_ganport
from parity_tests.support.places import ROOT
from reference import plugins

PAGE = ROOT / "docs" / "plugins.md"
# Where the names live that the page's package imports from `ganport`, until the root has that module.
PUBLIC = {
    "Artifact": "converters.targets.target",
    "Checkpoint": "reference.checkpoint_data",
    "Contract": "reference.model",
    "ConversionError": "converters.errors",
    "GanportError": "converters.errors",
    "KeyMatch": "reference.key_match",
    "OutputPolicy": "reference.model",
    "ReferenceModel": "reference.model",
    "Runner": "converters.runners",
    "Signature": "converters.tensors",
    "Target": "converters.targets.target",
    "TargetInput": "converters.targets.target",
    "TensorSpec": "converters.tensors",
    "compare_keys": "reference.key_match",
    "load_weights": "reference.key_match",
}
OWN_NET, OWN_KEY = "own-net", "own.weight"
ARCHITECTURES, TARGETS = plugins.ARCHITECTURE_GROUP, plugins.TARGET_GROUP
Install = Callable[..., None]


def read_page() -> dict[str, str]:
    """The files of the page's package, by name."""
    text = PAGE.read_text(encoding="utf-8")
    return dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def write_public_names(folder: Path) -> None:
    if not (ROOT / "ganport.py").is_file():
        lines = [f"from {module} import {name}\n" for name, module in PUBLIC.items()]
        (folder / "ganport.py").write_text("".join(lines))


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
    write_public_names(folder)
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
