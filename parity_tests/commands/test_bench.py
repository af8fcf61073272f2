"""Bench: the statistics, and every kind of source measured for real; how fast anything is, no test says."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

import cli
from converters.bench import peak_memory
from converters.bench.measure import summarize
from converters.bench.sources import read_sources
from converters.convert import Conversion
from converters.errors import BundleError, ParityError
from parity_tests.support.command import run_ganport
from parity_tests.support.foreign_models import make_model, write_model

# float32 rounding of small nets of few layers.
NEAR = 1e-4


def bench(*arguments: object) -> dict[str, object]:
    result = CliRunner().invoke(cli.main, ["bench", "--json", "--runs", "3", *map(str, arguments)])
    assert result.exit_code == 0, result.stderr
    report: dict[str, object] = json.loads(result.stdout)
    return report


def write_doubler(path: Path) -> Path:
    """A foreign net: y = x + x, free batch and plane, no contract of ours."""
    shape = ["n", 3, "h", "w"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "foreign",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_statistics_of_known_latencies() -> None:
    latency = summarize([float(value) for value in range(1, 102)])
    assert (latency.min, latency.mean, latency.p50, latency.p90, latency.p95, latency.p99) == (1, 51, 51, 91, 96, 100)
    assert latency.cov == pytest.approx(math.sqrt((101**2 - 1) / 12) / 51)


def test_bundle_checkpoint_and_foreign_file_are_measured_side_by_side(
    conversions: Mapping[str, Conversion], checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    folder = conversions["inpaint"].bundle.folder
    foreign = write_doubler(tmp_path / "doubler.onnx")
    report = bench(folder, checkpoints["inpaint"], foreign, "--size", "32x48", "--batch", "2", "--threads", "1")
    rows = {(row["model"], row["runtime"]): row for row in report["measurements"]}  # type: ignore[attr-defined]
    inpaint = "edgeconnect-inpaint"
    assert set(rows) == {
        (inpaint, "onnxruntime"),
        (inpaint, "mxnet"),
        (inpaint, "torch eager"),
        ("doubler", "onnxruntime"),
    }
    assert rows[inpaint, "torch eager"]["max_abs"] == 0
    assert 0 < rows[inpaint, "onnxruntime"]["max_abs"] < NEAR
    assert 0 < rows[inpaint, "mxnet"]["max_abs"] < NEAR
    assert rows[inpaint, "mxnet"]["compared_with"].endswith("in torch eager")
    assert (rows[inpaint, "mxnet"]["parity"], rows["doubler", "onnxruntime"]["parity"]) == ("passed", "not looked at")
    params = folder / f"{inpaint}-0000.params", folder / f"{inpaint}-symbol.json"
    assert rows[inpaint, "mxnet"]["file_mib"] * 2**20 == sum(path.stat().st_size for path in params)
    for row in rows.values():
        assert row["images_per_s"] == pytest.approx(2000 / row["latency_ms"]["p50"])
        assert row["load_ms"] > 0
        assert row["peak_rss_mib"] > 20
    # torch is in its own process alone.
    assert rows["doubler", "onnxruntime"]["peak_rss_mib"] < 0.7 * rows[inpaint, "torch eager"]["peak_rss_mib"]
    assert report["not_run"] == [
        {"file": str(folder), "target": target, "why": conversions["inpaint"].bundle.manifest.not_verified[target]}
        for target in ("trt", "wolfram")
    ]


def test_files_of_the_same_name_are_told_apart_by_their_places(tmp_path: Path) -> None:
    paths = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        paths.append(write_model(tmp_path / name, make_model(17, "y = Relu(x)")))
    other = write_model(tmp_path, make_model(17, "y = Relu(x)"), "other")
    (group,) = read_sources([*paths, other], (32, 32), 1)
    assert [contestant.model for contestant in group.contestants] == [*map(str, paths), "other"]


def test_buffers_are_photos_with_holes_and_differ(conversions: Mapping[str, Conversion]) -> None:
    (group,) = read_sources([conversions["edge"].bundle.folder], (32, 48), 2)
    grays = [feeds["gray"] for feeds in group.feeds]
    assert all(gray.shape == (2, 1, 32, 48) for gray in grays)
    assert all(feeds["mask"].any() for feeds in group.feeds)
    assert len({gray.tobytes() for gray in grays}) == len(grays) == 3
    assert not np.array_equal(grays[0][0], grays[0][1])


@pytest.mark.parametrize("size", [(32, 48), (64, 96), (160, 132)])
def test_hole_keeps_its_share_and_its_place_in_all_inputs(
    size: tuple[int, int], conversions: Mapping[str, Conversion]
) -> None:
    """A hole that covers all would be ill-conditioned, and then no two runtimes agree."""
    bundle = conversions["inpaint"].bundle
    golden, _ = bundle.golden()
    (group,) = read_sources([bundle.folder], size, 2)
    for feeds in group.feeds:
        shares = feeds["mask"].mean(axis=(1, 2, 3))
        assert shares == pytest.approx(golden["mask"].mean(), abs=0.15)
        assert set(np.unique(feeds["mask"])) == {0, 1}
        assert feeds["edges"].any()
        assert not (feeds["edges"] * feeds["mask"]).any()


def test_file_alone_gets_numbers_of_the_range_that_it_names(conversions: Mapping[str, Conversion]) -> None:
    (group,) = read_sources([conversions["inpaint"].bundle.folder / "edgeconnect-inpaint.onnx"], (32, 48), 2)
    assert all(0 <= array.min() < 0.1 and 0.9 < array.max() <= 1 for array in group.feeds[0].values())


def test_file_that_is_nothing_we_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BundleError, match=r"no bundle, checkpoint or ONNX file"):
        read_sources([tmp_path / "notes.txt"], (32, 48), 1)


@pytest.mark.parametrize(
    "contract", ["xx", "[]", "{}", '{"inputs": [1], "outputs": []}', '{"inputs": [], "outputs": []}']
)
def test_file_whose_contract_is_damaged_is_refused(contract: str, tmp_path: Path) -> None:
    model = make_model(17, "y = Relu(x)")
    model.metadata_props.add(key="ganport.contract", value=contract)
    result = run_ganport("bench", write_model(tmp_path, model), "--runs", "1")
    assert result.exit_code == 1
    assert "what it says of its inputs and outputs is damaged. Convert its source again" in result.stderr


def test_size_that_the_model_does_not_take_is_one_clear_line(conversions: Mapping[str, Conversion]) -> None:
    model = conversions["edge"].bundle.folder / "edgeconnect-edge.onnx"
    result = CliRunner().invoke(cli.main, ["bench", str(model), "--size", "32x46"])
    assert result.exit_code == 1
    assert "its size W is 46. Pad it to a multiple of 4" in result.stderr


def test_process_that_runs_an_onnx_file_holds_no_torch() -> None:
    code = "import sys, converters.bench.measure; from converters.targets.registry import TARGETS; "
    code += "TARGETS['onnx'].load_runtime(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_errors_keep_their_parts_from_process_to_process() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(ParityError("here", "this was met", "Do that")))
    assert (type(error), str(error), error.exit_code) == (ParityError, "here: this was met. Do that.", 3)


@pytest.mark.parametrize("status", [None, b"Name:\t\xff\nVmHWM:\t  2097152 kB\n", b"Name:\tpython\n"])
def test_peak_memory_is_read_wherever_the_system_tells_it(
    status: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peak_memory, "STATUS", tmp_path / "status")
    if status is not None:
        (tmp_path / "status").write_bytes(status)
    peak = peak_memory.read_peak_gib()
    if status is not None and b"VmHWM" in status:
        assert peak == 2
    else:
        assert 0.01 < peak < 100
