"""Files that are well-formed to their format and senseless to us, and places that take no output: one line each."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from converters.convert import Conversion
from parity_tests.support.command import require_refusal, require_refused_conversion, rewrite_hashes, run_ganport
from parity_tests.support.foreign_models import TABLE, make_model, write_model
from parity_tests.support.places import ROOT

DEEP = "[" * 100_000


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    rewrite_hashes(folder)


def nest_manifest(folder: Path) -> str:
    (folder / "manifest.json").write_text(DEEP)
    return "manifest.json: it is no manifest"


def drop_params(folder: Path) -> str:
    def change(manifest: dict[str, Any]) -> None:
        (mxnet,) = (each for each in manifest["artifacts"] if each["target"] == "mxnet")
        mxnet["files"] = mxnet["files"][:1]

    edit(folder, change)
    return "it names 1 files for mxnet, not 2"


def double_output(folder: Path) -> str:
    def change(manifest: dict[str, Any]) -> None:
        manifest["contract"]["outputs"] *= 2

    edit(folder, change)
    return "two of its inputs or outputs are called"


def drop_heads(folder: Path) -> str:
    (symbol,) = folder.glob("*-symbol.json")
    graph = json.loads(symbol.read_text())
    graph["heads"] = []
    symbol.write_text(json.dumps(graph))
    rewrite_hashes(folder)
    return "it has 0 outputs, its contract 1"


@pytest.mark.parametrize("fault", [drop_params, double_output, drop_heads], ids=lambda fault: fault.__name__)
def test_bundle_that_fits_its_hashes_and_makes_no_sense_is_refused(
    fault: Callable[[Path], str], conversions: Mapping[str, Conversion], tmp_path: Path
) -> None:
    folder = shutil.copytree(conversions["edge"].bundle.folder, tmp_path / "edgeconnect-edge")
    said = fault(folder)
    require_refusal(run_ganport("verify", folder), said)


def test_json_nested_deeper_than_the_stack_is_refused(conversions: Mapping[str, Conversion], tmp_path: Path) -> None:
    folder = shutil.copytree(conversions["edge"].bundle.folder, tmp_path / "edgeconnect-edge")
    said = nest_manifest(folder)
    require_refusal(run_ganport("inspect", folder), said)
    require_refusal(run_ganport("bench", folder), said)
    model = make_model(17, "y = Relu(x)", signature=TABLE)
    model.metadata_props.add(key="ganport.contract", value=DEEP)
    require_refusal(run_ganport("bench", write_model(tmp_path, model)), "is damaged. Convert its source again")


@pytest.mark.parametrize("axes", [33, 40, 100])
def test_input_of_more_axes_than_an_array_has_is_refused(axes: int, tmp_path: Path) -> None:
    sizes = ", ".join(["1"] * axes)
    path = write_model(tmp_path, make_model(17, "y = Relu(x)", signature=f"(float[{sizes}] x) => (float[{sizes}] y)"))
    said = f"'x': it has {axes} axes, known are 32. Reshape it"
    require_refused_conversion(tmp_path, path, "--to", "onnx", "-o", tmp_path / "out", said=said)


def test_output_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    model = make_model(17, "y = Relu(x)", signature=TABLE)
    model.graph.output.append(model.graph.output[0])
    path, said = write_model(tmp_path, model), "net.onnx: two of its inputs or outputs are called 'y'. Rename one"
    require_refused_conversion(tmp_path, path, "--to", "onnx", "-o", tmp_path / "out", said=said)
    require_refusal(run_ganport("bench", path), said)


def test_size_of_more_digits_than_python_reads_is_a_usage_error(tmp_path: Path) -> None:
    result = run_ganport("bench", tmp_path / "net.onnx", "--size", f"{'9' * 5000}x32")
    require_refusal(result, "is out of bounds. Each side is from 1 to 16384.", exit_code=2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_finds_no_space_is_one_line() -> None:
    command = [sys.executable, "-m", "cli", "formats", "--json"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr == "ganport: output: No space left on device. Check space and permissions.\n"
