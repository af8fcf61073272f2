"""Files that are well-formed to their format and senseless to us, and places that take no output: one line each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import converters.photos.one_photo
from converters.convert import Conversion
from converters.inpaint import Job, open_pipeline
from converters.photos.image_files import Photo
from converters.photos.many.photo_job import run_job
from converters.runners import count_cores
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


@pytest.mark.parametrize("kind", ["F8_E8M0", "F4", "F6_E2M3"])
def test_safetensors_of_a_type_that_torch_lacks_is_refused_by_its_name(kind: str, tmp_path: Path) -> None:
    size = {"F8_E8M0": 8, "F4": 4, "F6_E2M3": 6}[kind]
    header = json.dumps({"w": {"dtype": kind, "shape": [8], "data_offsets": [0, size]}}).encode()
    path = tmp_path / "net.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    require_refusal(run_ganport("inspect", path), f"it holds tensors of type {kind}, which torch does not read")


def test_message_that_is_no_text_is_told_all_the_same(
    conversions: Mapping[str, Conversion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MXNet and ONNX Runtime quote the file in their messages, and decode them as UTF-8."""
    import mxnet

    def fail(*_: object, **__: object) -> None:
        b"\xff".decode()

    folder = conversions["edge"].bundle.folder
    session = "onnxruntime.InferenceSession"
    for place in (
        f"{session}.__init__",
        f"{session}.run",
        "mxnet.sym.load",
        "mxnet.symbol.Symbol.bind",
        "mxnet.executor.Executor.forward",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, fail)
            require_refusal(run_ganport("verify", folder), "can't decode byte 0xff")
        assert mxnet.__version__ == "1.9.1"


@pytest.mark.parametrize("place", ["open", "run", "write"])
def test_defect_of_a_target_is_the_error_of_its_stage(
    place: str,
    checkpoints: Mapping[str, Path],
    conversions: Mapping[str, Conversion],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An index out of range deep inside of a target, say."""

    def fail(*_: object, **__: object) -> None:
        raise IndexError("tuple index\nout of range")

    said = "IndexError, not foreseen, in test_malformed.py, line "
    name = {
        "open": "converters.targets.onnx.target.OnnxTarget.open",
        "run": "converters.runners.OnnxRunner.run",
        "write": "converters.targets.mxnet.target.MxnetTarget.write",
    }[place]
    monkeypatch.setattr(name, fail)
    if place == "write":
        out = tmp_path / "out"
        args = (checkpoints["edge"], "--to", "mxnet", "-o", out)
        require_refused_conversion(tmp_path, *args, said=f"--to mxnet, writing mxnet: {said}")
    else:
        require_refusal(run_ganport("verify", conversions["edge"].bundle.folder), f"onnx: {said}")


@pytest.mark.parametrize("side", [16383, 16384])
def test_webp_of_more_pixels_than_it_takes_is_refused_before_any_work(side: int, tmp_path: Path) -> None:
    for name in ("photo", "mask"):
        Image.new("RGB", (side, 12)).save(tmp_path / f"{name}.png")
    args = ("inpaint", tmp_path / "photo.png", tmp_path / "mask.png", "--bundle", tmp_path / "missing")
    for option in ("-o", "--edges-out"):
        result = run_ganport(*args, option, tmp_path / "x.webp")
        said = (
            "it holds no manifest.json"
            if side == 16383
            else f"the picture is of {side}x12 pixels, and WebP takes 16383"
        )
        require_refusal(result, said)


def test_cores_are_counted_where_the_system_tells_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = count_cores()
    assert counted >= 1
    monkeypatch.delattr("os.sched_getaffinity")
    assert count_cores() == os.cpu_count()
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert count_cores() == 1


def test_failure_of_one_photo_is_that_photos_alone(
    shipped_pipeline: Conversion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("photos", "masks"):
        (tmp_path / kind).mkdir()
        for name in "abc":
            Image.new("RGB", (16, 16)).save(tmp_path / kind / f"{name}.png")
    read = converters.photos.one_photo.read_photo

    def fail_on_b(path: Path, data: bytes) -> Photo:
        if path.name == "b.png":
            raise AttributeError("no such attribute")
        return read(path, data)

    monkeypatch.setattr("converters.photos.one_photo.read_photo", fail_on_b)
    out = tmp_path / "out"
    out.mkdir()
    with open_pipeline(shipped_pipeline.bundle) as runner:
        for name in "abc":
            photo, mask = (tmp_path / kind / f"{name}.png" for kind in ("photos", "masks"))
            error = run_job(Job(photo, mask, out / f"{name}.png"), "", runner).error
            assert (error is None) == (name != "b")
            if error is not None:
                assert "photos/b.png: AttributeError, not foreseen, in test_malformed.py, line " in str(error)
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "c.png"]


def test_lone_surrogates_in_a_manifest_are_refused(conversions: Mapping[str, Conversion], tmp_path: Path) -> None:
    folder = shutil.copytree(conversions["edge"].bundle.folder, tmp_path / "edgeconnect-edge")
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"edgeconnect-edge.onnx"', r'"edge\ud800.onnx"'))
    rewrite_hashes(folder)
    for command in ("verify", "inspect", "bench"):
        result = run_ganport(command, folder)
        assert result.exit_code == 1
        require_refusal(result, "manifest.json: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda weight: weight.dims.append(2),
            "its weight 'w' is damaged (cannot reshape array of size 3 into shape (3,2))",
        ),
        (lambda weight: weight.dims.extend([1] * 40), "its weight 'w' has 41 axes, known are 32. Reshape it"),
        (lambda weight: setattr(weight, "raw_data", weight.raw_data[:-1]), "its weight 'w' is damaged (buffer size"),
        (lambda weight: setattr(weight, "data_type", 99), "its weight 'w' is damaged"),
        (lambda weight: setattr(weight, "data_type", 0), "its weight 'w' is damaged (The element type"),
        (lambda weight: weight.dims.__setitem__(0, -3), "its weight 'w' is damaged"),
    ],
    ids=["size", "axes", "bytes", "type", "no type", "negative"],
)
def test_weight_that_makes_no_array_is_refused_by_its_name(
    change: Callable[[Any], None], said: str, tmp_path: Path
) -> None:
    model = make_model(17, "y = Add(x, w)", {"w": (3,)}, TABLE)
    change(model.graph.initializer[0])
    path = write_model(tmp_path, model)
    require_refused_conversion(tmp_path, path, "--to", "onnx", "-o", tmp_path / "out", said=said)
