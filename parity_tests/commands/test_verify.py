"""`ganport verify`: hashes first, then the golden case; whatever was altered, it is found and named."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from converters.bundle.folder import read_bundle
from converters.convert import Conversion
from converters.errors import BundleError, MissingPackageError
from converters.targets.tensorrt import runtime as tensorrt
from parity_tests.support.command import list_tree, rewrite_hashes, rewrite_sums, run_ganport, time_limit

NAME = "edgeconnect-inpaint"


@pytest.fixture
def folder(conversions: Mapping[str, Conversion], tmp_path: Path) -> Path:
    """A copy of the inpaint net's bundle, to be altered."""
    return shutil.copytree(conversions["inpaint"].bundle.folder, tmp_path / NAME)


def require_refusal(folder: Path, said: str, exit_code: int = 1) -> None:
    result = run_ganport("verify", folder)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    lines = result.stderr.removesuffix("\n").split("\n")
    assert [line for line in lines if line.startswith("ganport: ")] == lines[-1:]
    assert said in lines[-1]


def test_sound_bundle_passes_on_every_runtime_present(folder: Path) -> None:
    result = run_ganport("verify", folder)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "hashes verified"
    assert [line.split(":")[0] for line in lines[1:]] == ["onnx", "mxnet", "trt", "wolfram"]
    assert "golden case reproduced" in lines[1]


def test_outputs_are_named_where_there_are_several(shipped_pipeline: Conversion) -> None:
    lines = run_ganport("verify", shipped_pipeline.bundle.folder).stdout.splitlines()
    outputs = [spec.name for spec in shipped_pipeline.bundle.signature.outputs]
    assert {line.split(":")[0] for line in lines[1:]} >= {f"onnx, {name}" for name in outputs}
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize("found", ["before it is opened", "as it is opened"])
def test_gpu_without_tensorrt_is_told_and_the_other_runtimes_are_used(
    found: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise MissingPackageError("TensorRT", "it is not installed", "Install it")

    monkeypatch.setattr(tensorrt, "has_gpu", lambda: True)
    monkeypatch.setattr(tensorrt, "load_tensorrt", fail)
    if found == "as it is opened":  # as an engine of one TensorRT package where the other one is installed
        monkeypatch.setattr(tensorrt, "missing_tensorrt", lambda: None)
    result = run_ganport("verify", folder)
    assert result.exit_code == 0, result.stderr
    assert "numbers not checked: it is not installed" in result.stdout
    assert "onnx: golden case reproduced" in result.stdout


def test_bundle_of_which_nothing_runs_here_says_so_in_its_first_line(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["artifacts"] = [each for each in manifest["artifacts"] if each["target"] in ("trt", "wolfram")]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rewrite_sums(folder)
    result = run_ganport("verify", folder)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0] == "hashes verified, nothing was run here"
    assert len(result.stdout.splitlines()) == 3


def test_one_flipped_bit_in_any_file_is_found_and_the_file_named(folder: Path) -> None:
    rng = random.Random(0)
    files = [file for file, data in list_tree(folder).items() if data is not None]
    kinds = {Path(file).suffix for file in files}
    assert kinds == {"", ".onnx", ".json", ".params", ".engine", ".md", ".npy", ".wl", ".wxf"}
    for file in files:
        whole = (folder / file).read_bytes()
        for position in (0, len(whole) - 1, rng.randrange(len(whole))):
            flipped = bytearray(whole)
            flipped[position] ^= 1 << rng.randrange(8)
            (folder / file).write_bytes(flipped)
            require_refusal(folder, f"'{file}'")
        (folder / file).write_bytes(whole)
    assert run_ganport("verify", folder).exit_code == 0


def alter_golden(folder: Path) -> None:
    path = folder / "golden" / "output_result.npy"
    array = np.load(path)
    array[0, 1, array.shape[2] // 2, array.shape[3] // 2] += 0.01
    np.save(path, array)


def alter_known_pixel(folder: Path) -> None:
    path = folder / "golden" / "output_result.npy"
    array = np.load(path)
    assert np.load(folder / "golden" / "input_mask.npy")[0, 0, 0, 0] == 0
    array[0, 0, 0, 0] = np.nextafter(array[0, 0, 0, 0], np.float32(2))
    np.save(path, array)


def shift_the_hole(folder: Path) -> None:
    """By so little that every limit of the gate would hold on the whole plane: 97.7 dB in the hole are 101 dB there."""
    path = folder / "golden" / "output_result.npy"
    array, hole = np.load(path), np.load(folder / "golden" / "input_mask.npy") > 0
    assert 0.3 < hole.mean() < 0.5
    np.save(path, np.where(hole, array + np.float32(1.3e-5), array))


def spread_golden(folder: Path) -> None:
    path = folder / "golden" / "output_result.npy"
    np.save(path, np.load(path).repeat(2, axis=0))


def blank_golden(folder: Path) -> None:
    path = folder / "golden" / "output_result.npy"
    np.save(path, np.load(path) * np.float32("nan"))


def alter_onnx(folder: Path) -> None:
    path = folder / f"{NAME}.onnx"
    model = onnx.load(path)
    (tensor,) = (tensor for tensor in model.graph.initializer if list(tensor.dims) == [3, 4, 7, 7])  # no norm after it
    array = numpy_helper.to_array(tensor).copy()
    array[0, 0, 0, 0] += 0.1
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, path)


@pytest.mark.parametrize(
    "alter", [alter_golden, alter_known_pixel, shift_the_hole, spread_golden, blank_golden, alter_onnx]
)
def test_altered_numbers_with_hashes_made_to_match_miss_the_goldens(
    folder: Path, alter: Callable[[Path], None]
) -> None:
    alter(folder)
    rewrite_hashes(folder)
    require_refusal(folder, ", output 'result', input 'golden' item ", exit_code=3)


def drop(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        for key in keys:
            del manifest[key]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop("contract"), "manifest.json: Object missing required field `contract`"),
        (lambda manifest: manifest.update(artifacts=[]), "Expected `array` of length >= 1 - at `$.artifacts`"),
        (
            lambda manifest: manifest["contract"].update(static_size=[256]),
            "Expected `array` of length 2, got 1 - at `$.contract.static_size`",
        ),
        (
            lambda manifest: manifest["contract"]["inputs"][0].update(multiple_of=0),
            "Expected `int` >= 1 - at `$.contract.inputs[0].multiple_of`",
        ),
        (lambda manifest: manifest["judging"]["result"].update(gate="x"), "its gate 'x' is not known"),
        (drop("schema_version"), "it is no manifest"),
        (lambda manifest: manifest.update(schema_version=2), "its schema version is 2, known is 1"),
        (lambda manifest: manifest["artifacts"][0].update(target="tflite"), "its target 'tflite' is not known"),
    ],
)
def test_manifest_that_cannot_be_used_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    rewrite_sums(folder)
    require_refusal(folder, said)


def test_files_missing_from_a_bundle_whose_sums_agree_are_named(folder: Path) -> None:
    onnx_file = folder / f"{NAME}.onnx"
    whole = onnx_file.read_bytes()
    onnx_file.unlink()
    rewrite_sums(folder)
    require_refusal(folder, f"{NAME}.onnx")
    onnx_file.write_bytes(whole)
    (folder / "golden" / "input_mask.npy").unlink()
    rewrite_sums(folder)
    require_refusal(folder, "'golden/input_mask.npy' is no array")


def test_what_is_no_regular_file_is_refused_and_not_waited_for(folder: Path) -> None:
    odd = folder / "odd"
    os.mkfifo(odd)
    with time_limit(30):
        require_refusal(folder, "'odd' is no regular file")
    for destination in ("nowhere", "golden", "/"):
        odd.unlink()
        odd.symlink_to(destination)
        require_refusal(folder, "'odd' is no regular file")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"new\nline", r"'new\nline' is not listed"),
        (b"back\\slash", r"'back\\slash' is not listed"),
        (b"latin-\xe9", "is not listed"),
        ("\u2028".encode(), "is not listed"),
        (b".hidden", "'.hidden' is not listed"),
    ],
)
def test_file_that_is_not_listed_is_found_whatever_its_name(folder: Path, name: bytes, said: str) -> None:
    Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_text("x")
    require_refusal(folder, said)


def test_one_file_whose_name_holds_another_line_of_the_sums_does_not_stand_for_two(folder: Path) -> None:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    first, second = lines[-2:]
    (folder / second[66:]).unlink()
    os.rename(folder / first[66:], folder / f"{first[66:]}\n{second}")
    require_refusal(folder, f"'{second[66:]}' is missing")


def test_missing_unreadable_or_half_bundles_are_refused(folder: Path, tmp_path: Path) -> None:
    require_refusal(tmp_path / "no such", "it is no folder")
    (tmp_path / "empty").mkdir()
    require_refusal(tmp_path / "empty", "it holds no SHA256SUMS")
    (folder / "SHA256SUMS").unlink()
    require_refusal(folder, "It is no complete bundle")


def list_places(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value in JSON that `verify` reads."""
    yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        if key not in ("details", "versions", "parity", "hyperparameters", "gates", "files"):
            yield from list_places(child, (*way, key))


def test_manifest_with_a_value_of_another_kind_anywhere_gives_one_clear_line(folder: Path) -> None:
    path = folder / "manifest.json"
    whole = json.loads(path.read_text())
    faults, read = 0, 0
    for way in list(list_places(whole))[1:]:
        for other in (None, [], {}, "x", -1, True):
            manifest = copy.deepcopy(whole)
            place = manifest
            for key in way[:-1]:
                place = place[key]
            place[way[-1]] = other
            path.write_text(json.dumps(manifest))
            rewrite_sums(folder)
            try:
                read_bundle(folder)
            except BundleError:
                faults += 1
                continue
            if way[0] in ("contract", "judging", "artifacts"):
                read += 1
                result = run_ganport("verify", folder)
                assert isinstance(result.exception, SystemExit | None), (way, other)
    assert faults > 500
    assert read > 50


GOLDENS: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda data: data[:60],
    "a zip": lambda data: b"PK\x05\x06" + bytes(18),
    "half a zip": lambda data: b"PK\x03\x04abc",
    "more than there is memory": lambda data: data.replace(b"(1, 3, ", b"(99999999999999, "),
    "brackets without end": lambda data: data[:10] + b"(" * (len(data) - 10),
}


@pytest.mark.parametrize("case", GOLDENS)
def test_golden_that_is_no_array_is_refused(case: str, folder: Path) -> None:
    path = folder / "golden" / "output_result.npy"
    data = GOLDENS[case](path.read_bytes())
    assert data != path.read_bytes()
    path.write_bytes(data)
    rewrite_hashes(folder)
    require_refusal(folder, "'golden/output_result.npy' is no array. Convert its source again")
