"""`import ganport`: light, typed, and what its functions do beside converting modules."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganport
from converters.convert import Conversion
from converters.targets.mxnet.runtime import missing_mxnet
from parity_tests.support.command import run_ganport
from parity_tests.support.foreign_models import TABLE, make_model, write_model
from parity_tests.support.places import ROOT
from reference.registry import shipped_checkpoints

HEAVY = ("torch", "onnx", "onnxruntime", "numpy", "mxnet", "PIL", "msgspec", "rich", "click")
# Of the import, the interpreter's own start left out; the fastest of five.
MAX_IMPORT_S = 0.1


def test_import_is_light() -> None:
    code = f"import sys, ganport; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_import_takes_less_than_a_tenth_of_a_second() -> None:
    code = "import time; t = time.perf_counter(); import ganport; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True) for _ in range(5)]
    assert min(float(run.stdout) for run in runs) < MAX_IMPORT_S


def test_every_public_name_is_there_and_documented() -> None:
    for name in ganport.__all__:
        assert getattr(ganport, name).__doc__, name
    assert not hasattr(ganport, "converters_of_old")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ganport.nothing  # type: ignore[attr-defined]


def test_python_m_ganport_is_the_command() -> None:
    command = [sys.executable, "-m", "ganport", "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "ganport" in done.stdout


def test_checkpoint_by_its_path(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    steps: list[str] = []
    (bundle,) = ganport.convert(str(checkpoints["edge"]), "onnx", str(tmp_path), size=(16, 24), progress=steps.append)
    assert bundle.name == bundle.architecture == "edgeconnect-edge"
    assert bundle.inputs[0].shape == (1, 1, 16, 24)
    assert steps
    assert [replay.target for replay in ganport.verify(bundle)] == ["onnx"]
    inputs, outputs = bundle.golden()
    with bundle.open("onnx", threads=1) as net:
        assert [spec.name for spec in net.outputs] == list(outputs)
        np.testing.assert_allclose(net.run(**inputs)["edges_out"], outputs["edges_out"], atol=1e-5)
    summaries = ganport.prove(bundle.folder, checkpoint=checkpoints["edge"])
    assert summaries["onnx"].passed


def test_onnx_file_with_arrays_to_judge_it_on(tmp_path: Path) -> None:
    path = write_model(tmp_path, make_model(17, "y = Sqrt(x)", None, TABLE))
    (bundle,) = ganport.convert(path, "onnx", tmp_path / "out", inputs={"x": np.ones((2, 3), np.float32)})
    assert bundle.architecture == "onnx"
    assert bundle.parity["onnx"].passed


def test_several_sources_make_several_bundles(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    sources = list(checkpoints.values())
    bundles = ganport.convert(sources, {"onnx"}, tmp_path, size=16)  # type: ignore[arg-type]  # a set will do
    assert [bundle.name for bundle in bundles] == ["edgeconnect-edge", "edgeconnect-inpaint"]


def test_target_that_refuses_is_an_error_that_says_where_the_others_are(tmp_path: Path) -> None:
    square = "(float[3, 3] x) => (float[3, 3] y, float z)"
    path = write_model(tmp_path, make_model(17, "y = Relu(x) z = Det(y)", None, square))
    with pytest.raises(ganport.ConversionError, match=r"what other targets wrote is in .*net\. "):
        ganport.convert(path, ["onnx", "mxnet"], tmp_path / "out")
    bundle = ganport.read_bundle(tmp_path / "out" / "net")
    assert bundle.targets == ("onnx",)
    assert "Det" in bundle.not_verified["mxnet"]
    with pytest.raises(ganport.BundleError, match=r"it holds no files of 'mxnet' \(refused: .*Open one of onnx"):
        bundle.open("mxnet")


REFUSED = {
    "no target": ({"to": "onx"}, "'onx' is no target"),
    "no targets": ({"to": []}, "it is empty. Give one or several of onnx"),
    "outputs of a file": ({"outputs": ["y"]}, "outputs and known are for a module, and this is a file"),
    "inputs of a checkpoint": ({"inputs": {"x": np.zeros(1)}}, "this is a checkpoint"),
    "a name of two": ({"source": ["a.pth", "b.pth"], "name": "net"}, "there are several"),
    "no sources": ({"source": []}, "it is empty"),
    "no file": ({"source": "gone.pth"}, "there is no such file"),
    "a size of three": ({"size": (8, 8, 8)}, r"size: it is \(8, 8, 8\)"),
    "a size of one": ({"size": (8,)}, r"Give \(H, W\) in pixels, or one number"),
    "no size": ({"size": 0}, "size: it is 0"),
    "a size that is true": ({"size": True}, "size: it is True"),
    "no targets at all": ({"to": None}, "it names no targets"),
    "a target that is a number": ({"to": [5]}, "it names no targets"),
    "sizes of an engine that are numbers": ({"to": "trt", "trt_sizes": (64, 128, 256)}, "Give three sizes"),
    "two sizes of an engine": ({"to": "trt", "trt_sizes": ((64, 64), (128, 128))}, "Give three sizes"),
    "a size in words": ({"size": "64x64"}, "size: it is '64x64'"),
    "a name that is a number": ({"name": 5}, "it is no folder name"),
    "tuning as in the shell": ({"tune": "cpu"}, "tune: it is 'cpu'. Give True or False"),
    "inputs without names": ({"source": "net.onnx", "inputs": [np.zeros(1)]}, "Give a dict: an array for each name"),
    "a small file that is not tuned": ({"small": True}, "Give tune=True"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_at_the_call(case: str, tmp_path: Path) -> None:
    options, said = REFUSED[case]
    with pytest.raises(ganport.GanportError, match=said):
        ganport.convert(**{"source": shipped_checkpoints()[0], "to": "onnx", "out": tmp_path, **options})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_prove_and_verify_refuse_what_they_cannot_judge(conversions: Mapping[str, Conversion], tmp_path: Path) -> None:
    folder = conversions["edge"].bundle.folder
    with pytest.raises(ganport.BundleError, match="Give either checkpoint or module"):
        ganport.prove(folder)
    with pytest.raises(ganport.FeedError, match="one of them is missing"):
        ganport.prove(folder, checkpoint="x.pth", images=tmp_path)
    with pytest.raises(ganport.BundleError, match="it holds no SHA256SUMS"):
        ganport.verify(tmp_path)
    with pytest.raises(ganport.BundleError, match=r"it holds no manifest\.json"):
        ganport.read_bundle(tmp_path)
    with pytest.raises(ganport.BundleError, match="it is no bundle, checkpoint or ONNX file"):
        ganport.bench([tmp_path / "x.txt"])


@pytest.mark.skipif(missing_mxnet() is not None, reason=str(missing_mxnet()))
def test_bench_measures_what_runs_here(conversions: Mapping[str, Conversion]) -> None:
    bundle = ganport.Bundle(conversions["edge"].bundle.folder)
    rows = ganport.bench(bundle, size=16, runs=2, threads=1)
    assert {row.contestant.target for row in rows} >= {"onnx", "mxnet"}
    assert all(row.latency_ms.p50 > 0 for row in rows)


def test_notebook_shows_contract_verdicts_and_pictures(conversions: Mapping[str, Conversion], tmp_path: Path) -> None:
    page = ganport.Bundle(conversions["inpaint"].bundle.folder)._repr_html_()
    for said in ("edgeconnect-inpaint", "image", "Nx3xHxW", "passed on", "no GPU", "data:image/png;base64,"):
        assert said in page
    assert page.count("<img") == 4  # image, edges, mask and result
    assert repr(ganport.Bundle(conversions["inpaint"].bundle.folder)).startswith("Bundle('")


def test_notebook_escapes_what_other_people_wrote(tmp_path: Path) -> None:
    path = write_model(tmp_path, make_model(17, "y = Relu(x)", None, TABLE), name="<b>net")
    (bundle,) = ganport.convert(path, "onnx", tmp_path / "out")
    assert "<b>" not in bundle._repr_html_()
    assert "&lt;b&gt;net" in bundle._repr_html_()


@pytest.fixture
def pictures() -> tuple[Image.Image, Image.Image]:
    """A photo of 48x40 and a mask of a square."""
    photo = Image.open(ROOT / "reference" / "photos" / "coffee.png").convert("RGB").resize((48, 40))
    mask = np.zeros((40, 48), np.uint8)
    mask[10:20, 12:30] = 255
    return photo, Image.fromarray(mask)


def test_inpaint_takes_and_gives_pictures_of_one_kind(
    grey_pipeline: Path, pictures: tuple[Image.Image, Image.Image], caplog: pytest.LogCaptureFixture
) -> None:
    photo, mask = pictures
    hole = np.asarray(mask) > 0
    logging.getLogger("ganport").setLevel(logging.INFO)
    filled = ganport.inpaint(photo, mask, bundle=grey_pipeline)
    assert isinstance(filled, Image.Image)
    assert filled.mode == "RGB"
    pixels = np.asarray(filled)
    assert (pixels[hole] == 128).all()
    assert (pixels[~hole] == np.asarray(photo)[~hole]).all()
    for given in (np.asarray(mask), hole):
        array = ganport.inpaint(np.asarray(photo), given, bundle=grey_pipeline)
        assert isinstance(array, np.ndarray)
        assert (array == pixels).all()
    inverted = ganport.inpaint(photo, mask, bundle=grey_pipeline, invert=True)
    assert (np.asarray(inverted)[~hole] == 128).all()


def test_inpaint_keeps_transparency(grey_pipeline: Path, pictures: tuple[Image.Image, Image.Image]) -> None:
    photo, mask = pictures
    clear = photo.copy()
    clear.putalpha(77)
    filled = ganport.inpaint(clear, mask, bundle=grey_pipeline)
    assert filled.mode == "RGBA"
    assert set(np.unique(np.asarray(filled)[..., 3])) == {77, 255}


BAD_PICTURES = {
    "floats": (np.zeros((40, 48, 3), np.float32), None, "photo: it is float32"),
    "five channels": (np.zeros((40, 48, 5), np.uint8), None, "photo: "),
    "a path": ("photo.png", None, "photo: it is a str"),
    "another size": (None, np.zeros((8, 8), bool), "mask: it is 8x8 pixels, the photo 48x40"),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_picture_that_does_not_fit_is_refused_by_its_name(
    case: str, grey_pipeline: Path, pictures: tuple[Image.Image, Image.Image]
) -> None:
    photo, mask, said = BAD_PICTURES[case]
    with pytest.raises(ganport.PhotoError) as caught:
        ganport.inpaint(
            pictures[0] if photo is None else photo, pictures[1] if mask is None else mask, bundle=grey_pipeline
        )
    assert str(caught.value).startswith(said)


def test_shell_and_python_write_the_same_files(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    done = run_ganport("convert", checkpoints["edge"], "--to", "onnx", "--size", "16x24", "-o", tmp_path / "shell")
    assert done.exit_code == 0
    ganport.convert(checkpoints["edge"], "onnx", tmp_path / "python", size=(16, 24))
    name = "edgeconnect-edge/SHA256SUMS"
    assert (tmp_path / "shell" / name).read_text() == (tmp_path / "python" / name).read_text()


def test_threads_wait_for_each_other_and_what_others_print_is_printed(
    checkpoints: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sys.stdout, sys.stderr
    made: list[ganport.Bundle] = []

    def convert(net: str) -> None:
        made.extend(ganport.convert(checkpoints[net], "onnx", tmp_path))

    threads = [threading.Thread(target=convert, args=(net,)) for net in checkpoints]
    for thread in threads:
        thread.start()
    ticks = 0
    while any(thread.is_alive() for thread in threads):
        print("tick")
        ticks += 1
        threads[-1].join(0.02)
    for thread in threads:
        thread.join()
    assert sorted(bundle.name for bundle in made) == ["edgeconnect-edge", "edgeconnect-inpaint"]
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr().out == "tick\n" * ticks
    assert ticks > 20
