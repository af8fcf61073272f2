"""The wheel without extras, in an environment that holds its declared dependencies and nothing else.

The environment is a stand-in for `pip install`: dependencies are links into the one that the tests run in.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

from parity_tests.support.foreign_models import make_model, write_model
from parity_tests.support.places import PHOTOS, ROOT

# Of the core and all that it needs, unpacked.
MOST_MB = 500
PHOTO, MASK = PHOTOS / "coffee.png", PHOTOS / "coffee-mask.png"


def list_needed(requirements: list[str]) -> dict[str, Distribution]:
    """What pip would install for these requirements, by name, from what is installed here."""
    found: dict[str, Distribution] = {}
    waiting = list(map(Requirement, requirements))
    while waiting:
        requirement = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = requirement.name.lower().replace("_", "-")
        if name not in found:
            found[name] = distribution(requirement.name)
            waiting += map(Requirement, found[name].requires or [])
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the environment."""
    place = tmp_path_factory.mktemp("core")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    (site,) = (place / "lib").glob("python*/site-packages")
    for needed in list_needed(distribution_of(site).requires or []).values():
        for top in {file.parts[0] for file in needed.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            (site / top).symlink_to(needed.locate_file(top))
    return place


def distribution_of(site: Path) -> Distribution:
    (info,) = site.glob("ganport-*.dist-info")
    return Distribution.at(info)


def run_installed(place: Path, folder: Path, *args: str | Path) -> str:
    command = [str(place / "bin" / "ganport"), *map(str, args)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_package_of_the_extras_is_there(place: Path, tmp_path: Path) -> None:
    said = run_installed(place, tmp_path, "--version").splitlines()
    assert said[0].startswith("ganport ")
    for name in ("torch", "mxnet", "TensorRT", "Wolfram client"):
        assert f"{name} not installed" in said
    code = "import importlib.util as u; print([n for n in ('torch', 'scipy', 'skimage') if u.find_spec(n)])"
    done = subprocess.run([place / "bin" / "python", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_photo_is_inpainted_at_once(place: Path, tmp_path: Path) -> None:
    run_installed(place, tmp_path, "inpaint", PHOTO, MASK, "-o", "filled.png")
    photo, mask, filled = (np.asarray(Image.open(path)) for path in (PHOTO, MASK, tmp_path / "filled.png"))
    hole = mask.reshape(*mask.shape[:2], -1)[:, :, 0] > 127
    assert np.array_equal(filled[~hole], photo[~hole])
    assert not np.array_equal(filled[hole], photo[hole])
    assert [path.name for path in tmp_path.iterdir()] == ["filled.png"]


def test_onnx_file_is_converted(place: Path, tmp_path: Path) -> None:
    write_model(tmp_path, make_model(17, "y = Relu(x)"))
    said = run_installed(place, tmp_path, "convert", "net.onnx", "--to", "onnx,mxnet", "-o", "out", "--json")
    (bundle,) = json.loads(said)["bundles"]
    assert {artifact["target"]: artifact["verified"] for artifact in bundle["artifacts"]} == {
        "onnx": True,
        "mxnet": False,
    }
    assert "hashes verified" in run_installed(place, tmp_path, "verify", "out/net")


def test_it_is_small(place: Path, wheel: Path) -> None:
    (site,) = (place / "lib").glob("python*/site-packages")
    needed = list_needed(distribution_of(site).requires or [])
    paths = [Path(str(each.locate_file(file))) for each in needed.values() for file in each.files or []]
    sizes = sum(path.stat().st_size for path in paths if path.is_file())
    assert 100e6 < sizes + wheel.stat().st_size < MOST_MB * 1e6
