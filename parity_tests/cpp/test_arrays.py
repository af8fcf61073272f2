"""C++: arrays go in and come out as in Python; what does not fit the contract is refused; memory stays flat."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.convert import Conversion
from converters.runners import OnnxRunner
from converters.targets.mxnet.symbol import ARGUMENT_PREFIX
from converters.tensors import Tensors
from parity_tests.support.command import rewrite_sums
from parity_tests.support.cpp_build import BACKENDS, NO_QUARANTINE, require_refusal, run

THREADS = 2
RUNS, WARM_UP = 1000, 20
# The smallest array of a 64x64 run is 16 KiB: losing one a run would take 16 MiB. MXNet's memory pool still takes some
# 0.3 MiB after the warm-up, and nothing after 4,500 runs.
GROWTH_MIB = 2.0


def run_arrays(backend: str, folder: Path, feeds: Tensors, tmp_path: Path) -> Any:
    for end in ("in", "out"):
        shutil.rmtree(tmp_path / end, ignore_errors=True)
        (tmp_path / end).mkdir()
    for name, array in feeds.items():
        np.save(tmp_path / "in" / f"{name}.npy", array)
    return run(backend, "run_arrays", "--threads", THREADS, folder, tmp_path / "in", tmp_path / "out")


def golden_feeds(conversion: Conversion) -> dict[str, Any]:
    return dict(conversion.bundle.golden()[0])


@pytest.mark.parametrize("shape", [(1, 64, 96), (2, 12, 12), (1, 256, 320)])
@pytest.mark.parametrize("net", ["edge", "inpaint"])
def test_onnx_runtime_gives_the_bits_that_it_gives_in_python(
    net: str, shape: tuple[int, int, int], conversions: Mapping[str, Conversion], tmp_path: Path
) -> None:
    bundle = conversions[net].bundle
    rng = np.random.default_rng(0)
    items, height, width = shape
    feeds = {
        spec.name: rng.random((items, int(spec.shape[1]), height, width), np.float32)
        for spec in bundle.signature.inputs
        if spec.name != "mask"
    }
    feeds["mask"] = np.rint(rng.random((items, 1, height, width), np.float32))
    assert run_arrays("onnxruntime", bundle.folder, feeds, tmp_path).returncode == 0
    with OnnxRunner(
        next(bundle.folder.glob("*.onnx")), bundle.signature.inputs, bundle.signature.outputs, THREADS
    ) as runner:
        expected = runner.run(feeds)
    for name, array in expected.items():
        assert (tmp_path / "out" / f"{name}.bin").read_bytes() == array.tobytes()


def test_pipeline_gives_the_bits_that_it_gives_in_python(shipped_pipeline: Conversion, tmp_path: Path) -> None:
    bundle = shipped_pipeline.bundle
    feeds = {name: np.ascontiguousarray(array[:, :61, :75]) for name, array in golden_feeds(shipped_pipeline).items()}
    assert run_arrays("onnxruntime", bundle.folder, feeds, tmp_path).returncode == 0
    with OnnxRunner(
        bundle.folder / "edgeconnect.onnx", bundle.signature.inputs, bundle.signature.outputs, THREADS
    ) as runner:
        expected = runner.run(feeds)
    assert sorted(expected) == ["canny", "edges", "result"]
    for name, array in expected.items():
        assert (tmp_path / "out" / f"{name}.bin").read_bytes() == array.tobytes()


def rename(feeds: dict[str, Any]) -> None:
    feeds["picture"] = feeds.pop("image")


def put(name: str, make: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    def change(feeds: dict[str, Any]) -> None:
        feeds[name] = np.ascontiguousarray(make(feeds[name]))

    return change


def everywhere(make: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    def change(feeds: dict[str, Any]) -> None:
        for name, array in feeds.items():
            feeds[name] = np.ascontiguousarray(make(array))

    return change


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename, "the inputs given are 'edges', 'mask', 'picture'. Give exactly 'image', 'edges', 'mask'"),
        (lambda feeds: feeds.pop("mask"), "the inputs given are 'edges', 'image'"),
        (lambda feeds: feeds.update(more=feeds["mask"]), "the inputs given are 'edges', 'image', 'mask', 'more'"),
        (put("image", lambda x: x[0]), "input 'image': its shape is (3, 64, 96). Give 4 axes (N, 3, H, W)"),
        (put("image", lambda x: x[:, :1]), "its shape is (1, 1, 64, 96). Give (N, 3, H, W)"),
        (put("mask", lambda x: x.astype(np.uint8)), "input 'mask': its dtype is uint8. Convert it to float32"),
        (everywhere(lambda x: x[:, :, :63]), "its size H is 63. Pad it to a multiple of 4, 12 or more"),
        (everywhere(lambda x: x[:, :, :, :94]), "its size W is 94. Pad it to a multiple of 4"),
        (everywhere(lambda x: x[:, :, :8]), "its size H is 8. Pad it to a multiple of 4, 12 or more"),
        (everywhere(lambda x: x[:, :, :0]), "its size H is 0"),
        (everywhere(lambda x: x[:0]), "its size N is 0. Give at least one item"),
        (put("mask", lambda x: x[:, :, :60]), "input 'mask': its size H is 60, another input's is 64"),
        (put("edges", lambda x: x.repeat(2, 0)), "its size N is 2, another input's is 1. Give all inputs the same"),
    ],
)
def test_arrays_that_do_not_fit_the_contract_are_refused(
    backend: str,
    change: Callable[[dict[str, Any]], None],
    said: str,
    conversions: Mapping[str, Conversion],
    tmp_path: Path,
) -> None:
    feeds = golden_feeds(conversions["inpaint"])
    change(feeds)
    done = run_arrays(backend, conversions["inpaint"].bundle.folder, feeds, tmp_path)
    require_refusal(done, said)
    assert list((tmp_path / "out").iterdir()) == []


def rewrite_params(path: Path, change: Callable[[bytes], bytes]) -> None:
    whole = path.read_bytes()
    altered = change(whole)
    assert altered != whole
    path.write_bytes(altered)


def prefixed(name: str) -> bytes:
    """As a name stands in a .params file, its length before it."""
    text = f"{ARGUMENT_PREFIX}{name}".encode()
    return struct.pack("<Q", len(text)) + text


WEIGHT = "generator.decoder.7.bias"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.replace(prefixed(WEIGHT), struct.pack("<Q", len(WEIGHT)) + WEIGHT.encode()), "is missing"),
        (lambda data: data.replace(WEIGHT.encode(), WEIGHT.replace("bias", "Bias").encode()), "is missing"),
        (lambda data: data.replace(prefixed(WEIGHT), prefixed(WEIGHT).replace(b"arg:", b"aux:")), "is missing"),
    ],
)
def test_weight_that_is_not_there_by_its_name_is_no_silent_garbage_in_mxnet(
    change: Callable[[bytes], bytes], said: str, conversions: Mapping[str, Conversion], tmp_path: Path
) -> None:
    folder = shutil.copytree(conversions["inpaint"].bundle.folder, tmp_path / "bundle")
    rewrite_params(next(folder.glob("*.params")), change)
    rewrite_sums(folder)
    require_refusal(run("mxnet", "ganport-selftest", folder), f"the weight '{WEIGHT}' {said}")


def test_weights_of_another_shape_are_refused_in_mxnet(conversions: Mapping[str, Conversion], tmp_path: Path) -> None:
    """The two nets' params have the same names; the first kernels differ in shape."""
    folder = shutil.copytree(conversions["inpaint"].bundle.folder, tmp_path / "bundle")
    params = next(folder.glob("*.params"))
    first = struct.pack("<4q", 4, 4, 7, 7)
    rewrite_params(params, lambda data: data.replace(first, struct.pack("<4q", 4, 7, 4, 7), 1))
    rewrite_sums(folder)
    require_refusal(run("mxnet", "ganport-selftest", folder), "its params do not fit it")


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_stays_flat_over_a_thousand_runs(backend: str, conversions: Mapping[str, Conversion]) -> None:
    folder = conversions["edge"].bundle.folder
    done = run(backend, "run_repeatedly", "--threads", 1, folder, RUNS, 64, environment=NO_QUARANTINE)
    assert done.returncode == 0, done.stderr
    resident = [int(line) for line in done.stdout.splitlines()]
    assert len(resident) == RUNS
    assert max(resident[WARM_UP:]) - resident[WARM_UP - 1] < GROWTH_MIB * 2**20
