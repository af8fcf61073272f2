"""What an ONNX file, a bundle or a photo takes is done without the extra `torch`; a checkpoint's need of it is told."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from converters.convert import Conversion
from parity_tests.support.absent import run_without
from parity_tests.support.foreign_models import make_model, write_model
from parity_tests.support.places import PHOTOS, ROOT
from reference.torch_extra import INSTALL_FOR_CPU, PACKAGES

ABSENT = (*PACKAGES, "scipy", "networkx", "onnx_ir", "torchvision")
PHOTO, MASK = PHOTOS / "coffee.png", PHOTOS / "coffee-mask.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.onnx, and its bundle made without the extra."""
    folder = tmp_path_factory.mktemp("core")
    body = "h = InstanceNormalization<epsilon: float = 1e-5>(x, s, b) y = Relu(h)"
    write_model(folder, make_model(17, body, {"s": (3,), "b": (3,)}))
    done = run_without(ABSENT, folder, "convert", "net.onnx", "--to", "onnx,mxnet", "-o", "out", "--json")
    assert done.returncode == 0, done.stderr
    (bundle,) = json.loads(done.stdout)["bundles"]
    assert [artifact["target"] for artifact in bundle["artifacts"]] == ["onnx", "mxnet"]
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "formats",
        "--version",
        "verify out/net",
        "inspect out/net",
        "inspect net.onnx",
        "parity net.onnx",
        "parity out/net --checkpoint net.onnx",
        "bench out/net net.onnx --size 32x32 --runs 1",
    ],
)
def test_command_needs_no_torch(command: str, folder: Path) -> None:
    done = run_without(ABSENT, folder, *command.split())
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr


def test_photo_is_inpainted_without_torch(folder: Path) -> None:
    done = run_without(ABSENT, folder, "inpaint", PHOTO, MASK, "-o", "filled.png")
    assert done.returncode == 0, done.stderr
    assert (folder / "filled.png").is_file()


def test_bundle_of_an_architecture_is_measured_without_torch(
    folder: Path, conversions: Mapping[str, Conversion]
) -> None:
    bundle = conversions["inpaint"].bundle.folder
    done = run_without(ABSENT, folder, "bench", bundle, "--size", "32x32", "--runs", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert {row["model"] for row in json.loads(done.stdout)["measurements"]} == {"edgeconnect-inpaint"}


def test_runtime_that_is_missing_is_left_out_of_a_measurement(folder: Path) -> None:
    done = run_without((*ABSENT, "mxnet"), folder, "bench", "out/net", "--size", "32x32", "--runs", "1", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [row["runtime"] for row in report["measurements"]] == ["onnxruntime"]
    ((target, why),) = ((row["target"], row["why"]) for row in report["not_run"])
    assert target == "mxnet"
    assert "is not installed" in why


@pytest.mark.parametrize("command", ["convert --to onnx", "parity", "inspect", "bench"])
def test_checkpoint_says_what_to_install(command: str, folder: Path, checkpoints: Mapping[str, Path]) -> None:
    done = run_without(ABSENT, folder, *command.split(), checkpoints["edge"])
    assert done.returncode == 4
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("ganport: "))
    assert line.startswith(f"ganport: {checkpoints['edge']}: a PyTorch net needs torch, onnxscript, safetensors, ")
    assert line.endswith(f"{INSTALL_FOR_CPU}.")
    assert "Traceback" not in done.stderr


def test_pair_that_ships_says_so_too(folder: Path) -> None:
    done = run_without(ABSENT, folder, "convert", "--pipeline", "--to", "onnx", "-o", "pair")
    assert (done.returncode, (folder / "pair").exists()) == (4, False)


def test_a_part_of_the_extra_is_missed_by_name(folder: Path, checkpoints: Mapping[str, Path]) -> None:
    done = run_without(("onnxscript",), folder, "convert", checkpoints["edge"], "--to", "onnx", "-o", "part")
    assert done.returncode == 4
    assert "a PyTorch net needs onnxscript, not installed here" in done.stderr


def test_extra_holds_the_packages_that_are_looked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {line.partition(">")[0] for line in project["optional-dependencies"]["torch"]}
    assert extra == set(PACKAGES.values())
    assert not extra & {line.partition(">")[0] for line in project["dependencies"]}
