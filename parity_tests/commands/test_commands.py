"""The commands: what they import, print and return, and what they leave."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from cli import main
from converters.convert import Conversion
from converters.parity.gates import GATES
from converters.targets.registry import TARGETS
from parity_tests.support.command import list_tree, remembered_exports, run_ganport
from parity_tests.support.foreign_models import make_model, write_model
from parity_tests.support.seeded_checkpoints import write_checkpoint

EDGE = "edgeconnect-edge"
HEAVY = ("torch", "onnx", "onnxruntime", "onnxsim", "numpy", "mxnet", "skimage", "PIL", "tensorrt_rtx", "cuda")


@pytest.fixture(autouse=True)
def _quick_exports() -> Iterator[None]:
    with remembered_exports():
        yield


@pytest.mark.parametrize("command", [[], *([name] for name in main.commands)], ids=str)
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    script = (
        "import sys, cli; cli.main(sys.argv[1:], standalone_mode=False);"
        f" print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command, "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage:")
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ((), ("out of PyTorch, or any ONNX file",)),
        (("convert",), ("trt is a TensorRT engine; wolfram is a NetGraph", "trt and wolfram are left as they are")),
        (("convert",), ("Smallest size the engine takes, rounded up to the net's multiple",)),
        (("parity",), ("cut, at the bottom and the right, to the net's multiple", "each of its photo's name and size")),
    ],
)
def test_help_says_what_options_do(command: tuple[str, ...], said: tuple[str, ...]) -> None:
    text = " ".join(run_ganport(*command, "--help").stdout.split())
    for words in said:
        assert words in text


def test_version_is_the_packages() -> None:
    result = run_ganport("--version")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, f"ganport {version('ganport')}")


@pytest.fixture
def small_inputs(tmp_path: Path) -> list[str | Path]:
    """Options of `parity`: one small photo and its mask, instead of the long set."""
    rng = np.random.default_rng(0)
    for kind, shape in (("images", (32, 40, 3)), ("masks", (32, 40))):
        (tmp_path / kind).mkdir()
        pixels = rng.integers(0, 256, shape, np.uint8) if kind == "images" else np.zeros(shape, np.uint8)
        pixels[8:20, 10:30] = 255
        Image.fromarray(pixels).save(tmp_path / kind / "a.png")
    return ["--images", tmp_path / "images", "--masks", tmp_path / "masks"]


def run_json(capfd: pytest.CaptureFixture[str], *args: str | Path) -> dict[str, Any]:
    """The one object that `ganport ARGS --json` prints; C libraries count, they write past Python's stdout."""
    capfd.readouterr()
    result = run_ganport(*args, "--json")
    assert result.exit_code == 0, result.stderr
    assert capfd.readouterr().out == ""
    facts = json.loads(result.stdout)
    assert isinstance(facts, dict)
    return facts


def test_json_is_the_only_thing_on_stdout(
    checkpoints: Mapping[str, Path],
    small_inputs: list[str | Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    checkpoint, out = checkpoints["edge"], tmp_path / "out"
    converted = run_json(capfd, "convert", checkpoint, "--to", "onnx,mxnet", "--to", "trt", "-o", out)
    (bundle,) = converted["bundles"]
    assert bundle["folder"] == str(out / EDGE)
    assert [artifact["target"] for artifact in bundle["artifacts"]] == ["onnx", "mxnet", "trt"]

    verified = run_json(capfd, "verify", out / EDGE)
    assert verified["hashes"] == "verified"
    assert [replay["target"] for replay in verified["replays"]] == ["onnx", "mxnet", "trt"]

    proven = run_json(capfd, "parity", out / EDGE, "--checkpoint", checkpoint, *small_inputs)
    assert proven["reports"][0]["rung"] == "onnx"
    assert proven["reports"][0]["passed"] is True

    kinds = {checkpoint: "checkpoint", out / EDGE: "bundle", out / EDGE / f"{EDGE}.onnx": "onnx"}
    for path, kind in kinds.items():
        assert run_json(capfd, "inspect", path)["kind"] == kind

    assert [target["target"] for target in run_json(capfd, "formats")["targets"]] == list(TARGETS)


def test_overwrite_replaces_the_bundle_by_the_new_checkpoints(
    conversions: Mapping[str, Conversion], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(conversions["edge"].bundle.folder, out / EDGE)
    checkpoint = write_checkpoint(tmp_path, "edge", seed=1)
    result = run_ganport("convert", checkpoint, "--to", "onnx", "-o", out, "--overwrite")
    assert result.exit_code == 0, result.stderr
    assert [path.name for path in out.iterdir()] == [EDGE]
    assert not (out / EDGE / f"{EDGE}.engine").exists()
    source = json.loads((out / EDGE / "manifest.json").read_text())["sources"][0]
    assert source["sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()


def test_inspect_says_what_is_inside(checkpoints: Mapping[str, Path], conversions: Mapping[str, Conversion]) -> None:
    folder = conversions["edge"].bundle.folder
    said = {path: run_ganport("inspect", path) for path in (checkpoints["edge"], folder, folder / f"{EDGE}.onnx")}
    assert all(result.exit_code == 0 for result in said.values())
    checkpoint, bundle, model = (result.stdout.splitlines() for result in said.values())
    assert "architecture: edgeconnect-edge" in checkpoint
    assert 'hyperparameters: {"base_channels": 4, "blocks": 1, "in_channels": 3, "out_channels": 1}' in checkpoint
    assert "  name: edgeconnect-edge" in bundle
    for lines, indent in ((checkpoint, ""), (bundle, "    ")):
        start = lines.index(f"{indent}inputs:") + 1
        rows = [row.split(f"{indent}  - ")[1] for row in lines[start : start + 3]]
        assert [json.loads(row)["name"] for row in rows] == ["gray", "edges", "mask"]
    assert '    README.md: {"sha256": "' in "\n".join(bundle)
    assert 'outputs: {"edges_out": ["N", 1, "4*h", "4*w"]}' in model


def test_inspect_prints_each_convolution_of_a_tuned_file_on_a_line_of_its_own(tmp_path: Path) -> None:
    weights = {"w": (64, 3, 3, 3), "v": (4, 64, 3, 3)}
    path = write_model(tmp_path, make_model(17, "c = Conv(x, w) d = Relu(c) y = Conv(d, v)", weights))
    assert run_ganport("convert", path, "--to", "onnx", "--tune", "cpu", "-o", tmp_path / "out").exit_code == 0
    lines = run_ganport("inspect", tmp_path / "out" / "net" / "net.onnx").stdout.splitlines()
    rows = [lines[lines.index("    convolutions:") + 1].removeprefix("    ")]
    lines = run_ganport("inspect", tmp_path / "out" / "net").stdout.splitlines()
    rows.append(lines[lines.index("        convolutions:") + 1].removeprefix("        "))
    assert [json.loads(row.removeprefix("  - "))["chosen"] for row in rows] == ["blocks", "blocks"]
    assert max(map(len, lines)) < 500


@pytest.mark.parametrize("place", ["folder", "file.json", "file.engine", "file"])
def test_inspect_says_what_it_takes(place: str, tmp_path: Path) -> None:
    if place == "folder":
        (tmp_path / place).mkdir()
    else:
        (tmp_path / place).write_text("{}")
    result = run_ganport("inspect", tmp_path / place)
    assert (result.exit_code, result.stdout) == (1, "")
    met = "it is a folder without a manifest.json" if place == "folder" else f"its suffix is '{Path(place).suffix}'"
    taken = (
        "Name a checkpoint (.pth, .pt, .safetensors, .ckpt, .bin, .model), an ONNX file (.onnx) or a bundle's folder."
    )
    assert result.stderr == f"ganport: {tmp_path / place}: {met}. {taken}\n"


def test_inspect_refuses_garbage(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.onnx").write_text("nothing of the kind")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "nodes.onnx").write_bytes(onnx.ModelProto(ir_version=8).SerializeToString())
    (tmp_path / "text.pth").write_text("nothing of the kind")
    tuned = make_model(17, "y = Relu(x)")
    tuned.metadata_props.add(key="ganport.tuning", value="[1]")
    (tmp_path / "tuning.onnx").write_bytes(tuned.SerializeToString())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    for path in [*tmp_path.iterdir(), *(tmp_path / name for name in ("missing.onnx", "missing", "long" * 99))]:
        result = run_ganport("inspect", path)
        assert (result.exit_code, result.stdout) == (1, ""), path
        assert result.stderr.startswith(f"ganport: {path}")
        assert result.stderr.count("\n") == 1


def test_formats_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TARGETS["trt"], "missing_builder", lambda: "no builder at all", raising=False)
    monkeypatch.setattr(TARGETS["mxnet"], "missing_verifier", lambda: "no mxnet at all", raising=False)
    lines = run_ganport("formats").stdout.splitlines()
    assert lines[lines.index("  here: no mxnet at all") - 1].startswith("mxnet: ")
    assert lines[lines.index("  here: no builder at all") - 1].startswith("trt: ")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["BUNDLE"], "add --checkpoint FILE"),
        (["FILE", "--checkpoint", "FILE"], "is no bundle folder"),
        (["BUNDLE", "--checkpoint", "FILE", "--images", "BUNDLE"], "--images and --masks go together"),
        (["FILE", "--masks", "BUNDLE"], "--images and --masks go together"),
        ([], "Missing argument"),
    ],
)
def test_parity_used_wrongly_is_a_usage_error(
    checkpoints: Mapping[str, Path], conversions: Mapping[str, Conversion], args: list[str], said: str
) -> None:
    paths = {"BUNDLE": conversions["edge"].bundle.folder, "FILE": checkpoints["edge"]}
    result = run_ganport("parity", *(paths.get(arg, arg) for arg in args))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_missing_builder_exits_4_and_writes_nothing(
    checkpoints: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TARGETS["trt"], "missing_builder", lambda: "no builder at all", raising=False)
    result = run_ganport("convert", checkpoints["edge"], "--to", "onnx,trt", "-o", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith("ganport: --to trt: no builder at all.")
    assert list_tree(tmp_path) == {}


@pytest.mark.parametrize("overwrite", [False, True])
def test_parity_miss_leaves_a_report_and_no_bundle_and_a_later_good_run_clears_it(
    checkpoints: Mapping[str, Path],
    conversions: Mapping[str, Conversion],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    overwrite: bool,
) -> None:
    out, options = tmp_path / "out", ["--overwrite"] if overwrite else []
    if overwrite:
        shutil.copytree(conversions["edge"].bundle.folder, out / EDGE)
    before = list_tree(out / EDGE)
    with monkeypatch.context() as patch:
        patch.setitem(GATES, "onnx", dataclasses.replace(GATES["onnx"], max_abs=0.0))  # type: ignore[arg-type]
        result = run_ganport("convert", checkpoints["edge"], "--to", "onnx", "-o", out, *options)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "accurate norm" in result.stderr.splitlines()[-1]
    assert sorted(path.name for path in out.iterdir()) == [EDGE, f"{EDGE}.failed"][not overwrite :]
    assert list_tree(out / EDGE) == before
    report = json.loads((out / f"{EDGE}.failed" / "parity.json").read_text())
    assert [(rung["rung"], rung["passed"]) for rung in report["rungs"]] == [
        *((rung, True) for rung in ("fold", "export", "simplify")),
        ("accurate norm", False),
    ]
    assert "**FAILED**" in (out / f"{EDGE}.failed" / "parity.md").read_text()

    result = run_ganport("convert", checkpoints["edge"], "--to", "onnx", "-o", out, *options)
    assert result.exit_code == 0, result.stderr
    assert [path.name for path in out.iterdir()] == [EDGE]
