"""Foreign files whose float32 is itself in doubt: a float64 run decides, and never lets a wrong file pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import ModelProto, numpy_helper

from converters.errors import ParityError
from converters.parity.compare import ComparedCase, ParityReport, compare
from converters.parity.expected import ReferenceOutputs
from converters.parity.gates import GATES
from converters.parity.judge import Verdict
from converters.parity.report import format_parity
from converters.runners import Runner
from converters.sources import onnx_file
from converters.sources import source as sources
from converters.sources.onnx_file import read_onnx
from converters.sources.onnx_reference import run_float64
from converters.sources.onnx_source import OnnxSource
from converters.tensors import Array, TensorSpec
from parity_tests.support.command import run_ganport
from parity_tests.support.foreign_models import make_model, write_model

GATE = GATES["mxnet"]
# Of what torch computes in float64 itself.
FLOAT64_ERROR = 1e-12


def judge(own: float, ours: float) -> ParityReport:
    """An output of 0 that float32 gives with the error `own`, and the file with `ours`, on a pixel in 100."""
    float64 = np.zeros((1, 1, 30, 30))

    def wrong_by(error: float) -> Array:
        array = float64.astype(np.float32)
        array[0, 0, ::10] = error
        return array

    case = ComparedCase("seed", {"y": wrong_by(ours)}, {"y": wrong_by(own)}, {"y": float64}, float32_in_doubt=True)
    return compare("mxnet", GATE, [case])


def test_error_no_larger_than_a_few_times_the_standards_own_passes_by_excess() -> None:
    (tensor,) = judge(own=-2e-5, ours=3e-5).tensors
    assert tensor.verdict is not Verdict.FAILED
    assert tensor.verdict is Verdict.PASSED_BY_EXCESS


def test_error_of_five_times_the_standards_own_is_a_miss() -> None:
    (tensor,) = judge(own=-2e-5, ours=1e-4).tensors
    assert tensor.failures == ("excess error 5.0, allowed 4",)


def test_where_the_standard_is_near_float64_the_whole_gate_holds() -> None:
    (tensor,) = judge(own=-9e-6, ours=3e-5).tensors
    assert tensor.verdict is not Verdict.PASSED_BY_EXCESS
    assert tensor.failures[0] == "99.9th percentile 3.9e-05, allowed 2e-05"


def test_what_passes_the_gate_does_not_need_excess() -> None:
    (tensor,) = judge(own=-2e-5, ours=-1.5e-5).tensors
    assert tensor.gated
    assert tensor.verdict is not Verdict.PASSED_BY_EXCESS


def test_report_of_nothing_but_doubt_is_no_pass() -> None:
    assert not judge(own=-2e-5, ours=3e-5).passed


def test_float64_run_that_is_not_the_same_computation_excuses_nothing() -> None:
    """As where onnx's reference and ONNX Runtime read an operator differently: both far off, and near each other."""
    (tensor,) = judge(own=-0.43, ours=0.8).tensors
    assert tensor.verdict is not Verdict.PASSED_BY_EXCESS
    assert tensor.verdict is Verdict.FAILED


def test_file_that_is_near_float64_where_the_standard_is_far_passes_and_the_report_says_so() -> None:
    report = judge(own=-6.9e-4, ours=1.2e-6)
    (tensor,) = report.tensors
    assert tensor.verdict is Verdict.PASSED_AGAINST_FLOAT64
    assert tensor.metrics is not None
    assert tensor.metrics.max_abs == pytest.approx(1.2e-6)
    assert report.passed
    assert report.describe_verdict() == "passed (of 1 items 1 against float64, ONNX Runtime being the far one)"
    assert "the source's own float32 is the far one of the two" in format_parity([report], [], {})


@pytest.mark.parametrize(("own", "ours"), [(-6.9e-4, 3e-4), (-6.9e-4, 7e-4), (-6.9e-4, np.nan), (-0.43, 0)])
def test_file_that_is_far_from_float64_too_or_computes_something_else_is_a_miss(own: float, ours: float) -> None:
    """The last one is right by onnx's reference, which reads an operator otherwise than ONNX Runtime."""
    (tensor,) = judge(own=own, ours=ours).tensors
    assert tensor.verdict is Verdict.FAILED


def test_file_of_a_net_that_cancels_is_judged_against_float64(tmp_path: Path) -> None:
    """x + 10000 - 10000 in float32 is x to three digits."""
    body, weights = "a = Add(x, k) y = Sub(a, k)", {"k": np.array(1e4, np.float32)}
    model = make_model(17, body, weights, "(float[N, 3] x) => (float[N, 3] y)")
    expected = OnnxSource(read_onnx(write_model(tmp_path, model))).run_inputs()

    class Exact:
        inputs, outputs = (TensorSpec("x", ("N", 3), layout=""),), expected.outputs

        def __init__(self, error: float) -> None:
            self.error = np.float32(error)

        def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
            return {"y": feeds["x"] + self.error}

    (report,) = expected.compare("mxnet", "mxnet", Exact(0))  # type: ignore[arg-type]
    assert report.passed
    assert report.count(Verdict.PASSED_AGAINST_FLOAT64)
    (report,) = expected.compare("mxnet", "mxnet", Exact(3e-4))  # type: ignore[arg-type]
    assert not report.passed


def test_one_outputs_pass_does_not_cover_anothers_doubt() -> None:
    (doubtful,), (sure,) = judge(own=-2e-5, ours=3e-5).tensors, judge(own=0, ours=0).tensors
    both = ParityReport("mxnet", GATE, (doubtful, replace(sure, tensor="z")))
    assert not both.passed
    assert replace(both, tensors=(doubtful, sure)).passed


def test_a_nan_is_a_miss_however_doubtful_the_standard_is() -> None:
    assert judge(own=-2e-5, ours=np.nan).tensors[0].failures


NET = make_model(
    17,
    'p = Pad <mode = "reflect"> (x, pads) c = Conv(p, w) n = InstanceNormalization(c, s, b) y = Sigmoid(n)',
    {"w": (4, 3, 3, 3), "s": (4,), "b": (4,), "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
)


def test_reference_implementation_computes_in_float64() -> None:
    x = np.random.default_rng(1).random((2, 3, 9, 12), np.float32)
    weights = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in NET.graph.initializer}
    w, s, b = (weights[name].double() for name in ("w", "s", "b"))
    padded = torch.nn.functional.pad(torch.from_numpy(x).double(), (1, 1, 1, 1), "reflect")
    normed = torch.nn.functional.instance_norm(torch.nn.functional.conv2d(padded, w), weight=s, bias=b)
    outputs = run_float64(NET, {"x": x})
    assert outputs is not None
    assert outputs["y"].dtype == np.float64
    assert np.abs(outputs["y"] - torch.sigmoid(normed).numpy()).max() <= FLOAT64_ERROR


def test_what_the_reference_implementation_does_not_run_is_none() -> None:
    broken = ModelProto()
    broken.CopyFrom(NET)
    broken.graph.node[1].op_type = "NoSuchOperator"
    assert run_float64(broken, {"x": np.zeros((1, 3, 9, 12), np.float32)}) is None


def test_float64_is_asked_for_only_where_a_file_misses_its_gate(tmp_path: Path) -> None:
    standard = OnnxSource(read_onnx(write_model(tmp_path, NET)))
    expected = standard.run_inputs()
    asked = []
    real = expected.find_float64
    assert real is not None
    counted = replace(expected, find_float64=lambda: asked.append(1) or real())

    def runner(error: float) -> Runner:
        class Wrong:
            inputs, outputs = standard.model.inputs, expected.outputs

            def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
                return {"y": standard.file.run(feeds)["y"] + np.float32(error)}

        return Wrong()  # type: ignore[return-value]

    assert passes(counted, runner(1e-6))
    assert asked == []
    assert not passes(counted, runner(1e-3))
    assert asked == [1]


@pytest.mark.parametrize("fault", ["shape", "dtype"])
def test_float64_run_of_another_shape_or_precision_is_none(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(model: ModelProto, feeds: dict[str, Array]) -> dict[str, Array] | None:
        outputs = run_float64(model, feeds)
        assert outputs is not None
        return {"y": outputs["y"][:, :1]} if fault == "shape" else None

    kind = "float16" if fault == "dtype" else "float"
    body = "h = Cast<to = 1>(x) s = Sigmoid(h) y = Cast<to = 10>(s)" if fault == "dtype" else "y = Sigmoid(x)"
    model = make_model(17, body, signature=f"({kind}[N, 3] x) => ({kind}[N, 3] y)")
    if fault == "shape":
        monkeypatch.setattr(onnx_file, "run_float64", run)
    expected = OnnxSource(read_onnx(write_model(tmp_path, model))).run_inputs()
    assert expected.find_float64 is not None
    assert expected.find_float64() is None


def passes(expected: ReferenceOutputs, runner: Runner) -> bool:
    return all(report.passed for report in expected.compare("onnx", "onnx", runner))


def test_golden_case_is_one_that_was_not_in_doubt(tmp_path: Path) -> None:
    standard = OnnxSource(read_onnx(write_model(tmp_path, NET)))
    first, second, *_ = (given.name for given in standard.run_inputs().inputs)
    assert [given.name for given in standard.run_golden([]).inputs] == [first]
    assert [given.name for given in standard.run_golden([first]).inputs] == [second]
    with pytest.raises(ParityError, match="float32 is in doubt on every input"):
        standard.run_golden([given.name for given in standard.run_inputs().inputs])


def test_height_that_is_baked_into_a_graph_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simplify = sources.simplify
    free = make_model(17, "y = Relu(x)", signature="(float[N, 3, H, W] x) => (float[N, 3, H, W] y)")
    baked = make_model(
        17,
        "c = Slice(x, start, end, axis) y = Relu(c)",
        {"start": np.array([0]), "end": np.array([64]), "axis": np.array([2])},
        signature="(float[N, 3, H, W] x) => (float[N, 3, K, W] y)",
    )
    monkeypatch.setattr(sources, "simplify", lambda model: simplify(baked))
    result = run_ganport("convert", write_model(tmp_path, free), "--to", "onnx", "-o", tmp_path / "out")
    assert result.exit_code == 3


def test_wrong_weight_is_refused_though_float64_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simplify = sources.simplify

    def spoil(model: ModelProto) -> ModelProto:
        simplified = simplify(model)
        tensor = next(t for t in simplified.graph.initializer if len(t.dims) == 4)
        array = numpy_helper.to_array(tensor).copy()
        array[0, 0, 0, 0] += 1e-2
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        return simplified

    monkeypatch.setattr(sources, "simplify", spoil)
    result = run_ganport("convert", write_model(tmp_path, NET), "--to", "onnx", "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "rung 'simplify'" in result.stderr
