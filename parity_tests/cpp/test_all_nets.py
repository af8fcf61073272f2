"""C++: every architecture's net in every runtime, every net from photo to photo, and every element type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.convert import Conversion
from converters.inpaint import FILLING, PICTURING, Job, inpaint, open_pipeline
from converters.runners import OnnxRunner
from parity_tests.support.architecture_cases import CASES, CaseBundle
from parity_tests.support.command import rewrite_sums, run_ganport
from parity_tests.support.cpp_build import BACKENDS, require_refusal, run
from parity_tests.support.foreign_models import make_model, write_model

# Where a picture is run in both, the arithmetic of one runtime is the same; two threads in both.
THREADS = 2
SUITED = [case for case in CASES if case.name not in ("edgeconnect-edge", "edgeconnect-inpaint")]
TYPES = {
    "int32": np.array([[1, -(2**31), 7]], np.int32),
    "int64": np.array([[1, 2**53 + 1, -(2**62)]], np.int64),
    "bool": np.array([[True, False, True]]),
    "float16": np.array([[0.1, -65504, 6e-8]], np.float16),
    "float64": np.array([[1 / 3, -1e300, 1e-310]], np.float64),
}
# As onnx's text has the types' names.
TEXT = {"float64": "double"}
NODES = {"bool": "Not (bool_in)", "int64": "Add (int64_in, int64_in)"}


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_architecture_passes_its_selftest(
    backend: str, case: Any, case_bundles: Callable[..., CaseBundle]
) -> None:
    done = run(backend, "ganport-selftest", case_bundles(case.name).bundle.folder)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "passed" in done.stdout


def make_picture(size: tuple[int, int]) -> Any:
    rows, columns = np.indices(size)
    waves = np.stack([np.sin(rows / 9), np.cos(columns / 7), np.sin((rows + columns) / 11)], axis=2)
    return (waves * 90 + 120 + np.random.default_rng(0).integers(0, 30, waves.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("case", SUITED, ids=str)
def test_program_gives_the_pixels_that_python_gives(
    case: Any, case_bundles: Callable[..., CaseBundle], tmp_path: Path
) -> None:
    _, bundle = case_bundles(case.name, pipeline=True)
    fills = len(bundle.signature.inputs) > 1
    least = bundle.signature.inputs[0].minimum
    size = (least + 13, least + 22)
    photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    Image.fromarray(make_picture(size)).save(photo)
    hole = np.zeros(size, np.uint8)
    hole[5:12, 6 : least // 2 + 8] = 255
    Image.fromarray(hole).save(mask)
    name, given = ("ganport-inpaint", (photo, mask)) if fills else ("ganport-apply", (photo,))
    ours, python = tmp_path / "ours.png", tmp_path / "python.png"
    done = run("onnxruntime", name, bundle.folder, *given, ours)
    assert (done.returncode, done.stdout) == (0, f"{ours}\n"), done.stderr
    with open_pipeline(bundle, FILLING if fills else PICTURING) as runner:
        inpaint(Job(photo, mask if fills else None, python), runner)
    assert np.array_equal(np.asarray(Image.open(ours)), np.asarray(Image.open(python)))

    done = run("openvino", name, bundle.folder, *given, ours)
    assert done.returncode == 0, done.stderr
    apart = np.abs(np.asarray(Image.open(ours)).astype(int) - np.asarray(Image.open(python)))
    assert apart.max() <= 1

    other, files = ("ganport-apply", (photo,)) if fills else ("ganport-inpaint", (photo, mask))
    refused = run("onnxruntime", other, bundle.folder, *files, ours)
    require_refusal(refused, "Give photo and mask to ganport-inpaint, a photo alone to ganport-apply")
    small = tmp_path / "small.png"
    Image.fromarray(make_picture((least - 1, least))).save(small)
    Image.fromarray(np.ones((least - 1, least), np.uint8)).save(mask)
    refused = run("onnxruntime", name, bundle.folder, small, *given[1:], ours)
    require_refusal(refused, f"it is {least}x{least - 1} pixels. Give {least} or more on each side")


def test_bundle_of_one_net_is_no_pipeline(conversions: Mapping[str, Conversion], tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(make_picture((20, 20))).save(photo)
    refused = run("onnxruntime", "ganport-apply", conversions["inpaint"].bundle.folder, photo, tmp_path / "out.png")
    require_refusal(refused, "which takes image, edges, mask. Make a pipeline's bundle: ganport convert")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_element_type_passes_through(backend: str, tmp_path: Path) -> None:
    ends = {name: TEXT.get(name, name) for name in TYPES}
    inputs = ", ".join(f"{kind}[N, 3] {name}_in" for name, kind in ends.items())
    outputs = ", ".join(f"{kind}[N, 3] {name}_out" for name, kind in ends.items())
    body = " ".join(f"{name}_out = {NODES.get(name, f'Neg ({name}_in)')}" for name in TYPES)
    path = write_model(tmp_path, make_model(17, body, None, f"({inputs}) => ({outputs})"))
    feeds = {f"{name}_in": array for name, array in TYPES.items()}
    np.savez(tmp_path / "case.npz", **feeds)
    done = run_ganport("convert", path, "--to", "onnx", "-o", tmp_path, "--inputs", tmp_path / "case.npz")
    assert done.exit_code == 0, done.stderr
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for name, array in feeds.items():
        np.save(tmp_path / "in" / f"{name}.npy", array)
    folder = tmp_path / "net"
    done_run = run(backend, "run_arrays", "--threads", THREADS, folder, tmp_path / "in", tmp_path / "out")
    assert done_run.returncode == 0, done_run.stderr
    expected = OnnxRunner(folder / "net.onnx").run(feeds)
    if backend == "onnxruntime":  # OpenVINO computes floats of all widths in float32
        for name, array in expected.items():
            assert (tmp_path / "out" / f"{name}.bin").read_bytes() == array.tobytes(), name
    assert run("onnxruntime", "ganport-selftest", folder).returncode == 0

    golden = folder / "golden" / "output_int64_out.npy"
    np.save(golden, np.load(golden) + 1)
    rewrite_sums(folder)
    missed = run("onnxruntime", "ganport-selftest", folder)
    assert missed.returncode == 1


@pytest.mark.parametrize("given", ["0", "-1", "many", "5000"])
def test_number_of_threads_that_is_none_is_told(given: str) -> None:
    done = run("onnxruntime", "ganport-selftest", "--threads", given, "bundle")
    assert done.returncode == 2
    assert f"--threads takes a number from 1 to 4096, not '{given}'\n" in done.stderr
