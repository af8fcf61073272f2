"""Every row of the op table: ONNX Runtime on the node against MXNet on the files made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from converters.errors import UnsupportedOpError
from converters.targets.mxnet.ops import OPS
from converters.targets.mxnet.ops.registry import WITH_SIZE
from converters.targets.mxnet.runtime import load_mxnet
from converters.targets.mxnet.write import convert_to_mxnet
from parity_tests.support.mxnet_cases import CASES
from parity_tests.support.mxnet_op_cases import IR_VERSION, NORMALIZED, OPSET, OpCase, build_model, floats, make_feeds
from parity_tests.support.places import ROOT
from parity_tests.support.runtimes import run_mxnet, run_onnxruntime

# mx.nd.array looks at SciPy's old names.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")

# Translated where shapes of the graph say their inputs: test_free_sizes has them.
NEED_SIZES = {"ConstantOfShape", "Range"}
DIVIDED_WHEN_BOUND = {"Split: the last is smaller"}
# A hole of one colour over 98 % of the plane, not in the middle of the range: sums of 65,536 numbers of one sign.
PLANE_SIZE, BORDER = 256, 2
HOLE_VALUE = 0.8
EPSILON = 1e-5
# Largest error that the two-pass statistics may make against float64: 1.9e-6 was measured on results up to 8 in size.
NORM_ERROR = 5e-6
# How many times more MXNet's own operator errs on the same plane: 0.18 was measured, 95,000 times as much.
OWN_NORM_IS_WORSE = 1000


def test_every_registered_operator_has_a_row() -> None:
    registered = {OPS.find("table", name, since) for name, since in OPS.names() if name not in NEED_SIZES}
    assert registered == {OPS.find("table", case.op, case.opset) for case in CASES}


def test_docs_count_the_operators_that_have_a_translation() -> None:
    names = {name for name, _ in OPS.names()}
    assert f"MXNet knows {len(names)} of ONNX's operators" in (ROOT / "docs" / "any_onnx.md").read_text(
        encoding="utf-8"
    )


def test_rows_are_told_apart_by_their_ids() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_mxnet_computes_what_onnxruntime_computes(case: OpCase, tmp_path: Path) -> None:
    model, feeds = build_model(case), make_feeds(case)
    require_same(run_mxnet(model, feeds, tmp_path), run_onnxruntime(model, feeds), case.tolerance)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_free_sizes_change_nothing_or_are_refused(case: OpCase, tmp_path: Path) -> None:
    if str(case) in DIVIDED_WHEN_BOUND:
        pytest.skip("MXNet itself says that the free size cannot be divided")
    model, feeds = build_model(case, free=True), make_feeds(case)
    refusal = read_refusal(model)
    if refusal is not None:
        assert refusal.remedy == WITH_SIZE
        return
    require_same(run_mxnet(model, feeds, tmp_path), run_onnxruntime(build_model(case), feeds), case.tolerance)


def read_refusal(model: ModelProto) -> UnsupportedOpError | None:
    try:
        convert_to_mxnet(model)
    except UnsupportedOpError as error:
        return error
    return None


def require_same(actual: list[NDArray[Any]], expected: list[NDArray[Any]], tolerance: float) -> None:
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.dtype == (np.uint8 if theirs.dtype == bool else theirs.dtype)
        assert ours.shape == (theirs.shape or (1,))
        assert np.isfinite(theirs).all()
        assert np.abs(ours.astype(np.float64) - theirs).max() <= tolerance


def flat_hole() -> NDArray[np.float32]:
    """(1, 2, H, W): one colour but for a thin border of noise."""
    plane = np.full((1, 2, PLANE_SIZE, PLANE_SIZE), HOLE_VALUE, np.float32)
    border = np.ones((PLANE_SIZE, PLANE_SIZE), bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    plane[:, :, border] += 0.01 * floats(1, 2, int(border.sum()))
    return plane


def normalize(x: NDArray[np.float32], scale: NDArray[np.float32], bias: NDArray[np.float32]) -> NDArray[np.float64]:
    """InstanceNormalization by its definition, in float64."""
    wide = x.astype(np.float64)
    centred = wide - wide.mean((2, 3), keepdims=True)
    variance = (centred**2).mean((2, 3), keepdims=True)
    factors, offsets = (a.astype(np.float64).reshape(1, -1, 1, 1) for a in (scale, bias))
    return centred / np.sqrt(variance + EPSILON) * factors + offsets


def test_norm_is_accurate_on_a_large_flat_hole_where_mxnets_own_is_not(tmp_path: Path) -> None:
    scale, bias = floats(2), floats(2, seed=2)
    inputs = (flat_hole().shape, scale, bias)
    case = OpCase("InstanceNormalization", "hole", inputs, {"epsilon": EPSILON})
    x = flat_hole()
    exact = normalize(x, scale, bias)
    (ours,) = run_mxnet(build_model(case), {"in0": x}, tmp_path)
    mx = load_mxnet()
    own = mx.nd.InstanceNorm(mx.nd.array(x), mx.nd.array(scale), mx.nd.array(bias), eps=EPSILON).asnumpy()
    our_error, own_error = np.abs(ours - exact).max(), np.abs(own - exact).max()
    assert our_error <= NORM_ERROR
    assert own_error >= OWN_NORM_IS_WORSE * our_error


def test_names_made_by_a_converter_never_take_another_tensors_name(tmp_path: Path) -> None:
    """The norm "y" makes a constant and a statistic that would be named as the tensors of the nodes after it."""
    nodes = [
        helper.make_node("InstanceNormalization", ["x", "s", "b"], ["y"], name="norm"),
        helper.make_node("Mul", ["y", "y_scale"], ["z"], name="multiply by column"),
        helper.make_node("Add", ["z", "y_mean_3"], ["out"], name="add by column"),
    ]
    size = 3  # channels and columns alike, so that either constant broadcasts in the other's place
    shape, per_column = (1, size, 4, size), (1, 1, 1, size)
    constants = {
        "s": floats(size),
        "b": floats(size, seed=2),
        "y_scale": floats(*per_column, seed=3),
        "y_mean_3": floats(*per_column, seed=4),
    }
    graph = helper.make_graph(
        nodes,
        "names",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    )
    feeds = {"x": floats(*shape, seed=5)}
    (expected,) = run_onnxruntime(model, feeds)
    (actual,) = run_mxnet(model, feeds, tmp_path)
    assert np.abs(actual - expected).max() <= NORMALIZED
