"""What ships, and who may import what."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from parity_tests.support.imports import PRODUCT_MODULES, find_imports
from parity_tests.support.places import ROOT

SHIPPED = ("converters", "reference", "consumers", "cli.py", "ganport.py", "ganport-stubs")

# Where type checkers look for the types of `ganport.py`, which is one module and no package.
STUB = "ganport-stubs/__init__.pyi"
# An architecture is a file of its own, and torch is what it is written in.
KNOWN_TO_ALL = {
    *("__init__", "checkpoint", "checkpoint_data", "key_match", "model", "plugins", "registry", "torch_extra"),
}
NETS = {f"reference/{path.name}" for path in (ROOT / "reference").glob("*.py") if path.stem not in KNOWN_TO_ALL}
# Each heavy package, and the modules and folders that may import it when they are run.
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "mxnet": ("converters/targets/mxnet/runtime.py",),
    "wolframclient": ("converters/targets/wolfram/weights.py",),
    "tensorrt": ("converters/targets/tensorrt/runtime.py",),
    "tensorrt_rtx": ("converters/targets/tensorrt/runtime.py",),
    "tensorrt_rtx_bindings": ("converters/targets/tensorrt/runtime.py",),
    "cuda": ("converters/targets/tensorrt/runtime.py",),
    "litserve": ("consumers/server/",),
    "onnxsim": ("converters/onnx_graph/simplify.py",),
    "onnxruntime": ("converters/runners.py", "converters/targets/onnx/target.py"),
    "ray": ("converters/photos/many/on_ray.py",),
    "pyarrow": ("converters/photos/many/on_ray.py", "converters/photos/many/urls.py"),
    "safetensors": ("reference/checkpoint.py",),
    "torch": (
        "reference/checkpoint.py",
        "converters/sources/spectral_norm.py",
        "converters/sources/export_torch.py",
        "converters/sources/quick_exporter.py",
        "converters/sources/copy_module.py",
        "converters/sources/module_shapes.py",
        "converters/sources/module_source.py",
        "converters/sources/own_file.py",
        "converters/sources/own_module.py",
        "converters/sources/thin_convolution.py",
        "converters/sources/torch_source.py",
        "converters/sources/user_code.py",
        "converters/runners.py",
        "converters/bench/sources.py",
        *NETS,
    ),
    "onnx": ("converters/onnx_graph/", "converters/rewrites/", "converters/sources/", "converters/targets/"),
}


def list_tracked() -> set[str]:
    """Files of the tree that git has or would take, those that are gone left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *SHIPPED]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git repository")
    return {file for file in done.stdout.splitlines() if (ROOT / file).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    for kind in ("--wheel", "--sdist"):
        command = [sys.executable, "-m", "build", kind, "--no-isolation", "-o", str(folder), str(ROOT)]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def test_wheel_holds_the_tracked_files_and_nothing_else(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        tracked = list_tracked()
        assert names == tracked
        assert all(wheel.read(name) == (ROOT / name).read_bytes() for name in tracked)
        assert wheel.read(STUB) == (ROOT / "ganport.py").read_bytes()
        info = {name.partition(".dist-info/")[2]: name for name in wheel.namelist() if ".dist-info/" in name}
        assert wheel.read(info["entry_points.txt"]).decode().split() == [
            "[console_scripts]",
            "ganport",
            "=",
            "cli:run",
        ]
        assert wheel.read(info["licenses/LICENSE"]) == (ROOT / "LICENSE").read_bytes()
        assert "Classifier: Private :: Do Not Upload" in wheel.read(info["METADATA"]).decode()


def test_sdist_holds_what_builds_and_tests_it(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert list_tracked() <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "parity_tests/conftest.py"} <= names
    assert not [name for name in names if name.startswith((".venv", "dist", ".git/")) or "__pycache__" in name]
    assert not [name for name in names if name.startswith("artifacts/") and name != "artifacts/README.md"]


@pytest.mark.parametrize("folder", ["weights", "photos"])
def test_every_shipped_weight_and_photo_has_its_licence_note(folder: str) -> None:
    note = (ROOT / "reference" / folder / "README.md").read_text()
    assert "icence" in note
    files = [path.name for path in (ROOT / "reference" / folder).iterdir() if path.name != "README.md"]
    assert files
    for file in files:
        assert f"| {file} |" in note


@pytest.mark.parametrize("package", ALLOWED)
def test_heavy_package_is_imported_only_where_it_may_be(package: str) -> None:
    importers = {
        path.relative_to(ROOT).as_posix()
        for path in PRODUCT_MODULES
        if any(name.split(".")[0] == package for name in find_imports(path))
    }
    assert {path for path in importers if not path.startswith(ALLOWED[package])} == set()


def test_converters_know_no_concrete_reference() -> None:
    concrete = {Path(net).stem for net in NETS}
    assert "edgeconnect" in concrete
    for path in PRODUCT_MODULES:
        if path.parent.name != "reference":
            named = [name for name in find_imports(path, for_types_too=True) if name.startswith("reference.")]
            assert not {name.split(".")[1] for name in named} & concrete, path


def test_imports_are_found_in_every_way_they_are_written(tmp_path: Path) -> None:
    module = tmp_path / "a.py"
    module.write_text(
        "if TYPE_CHECKING:\n    import torch\nimport onnx.helper\n"
        "def f():\n    from mxnet import nd\n    importlib.import_module('cuda.bindings')\n"
    )
    assert list(find_imports(module)) == ["onnx.helper", "mxnet.nd", "cuda.bindings"]
    assert next(iter(find_imports(module, for_types_too=True))) == "torch"
