"""The smallest size of an ONNX file: found from its windows, written into the contract, and kept by the runners."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from converters.errors import FeedError
from converters.sources.least_size import find_least_size
from converters.targets.mxnet.runtime import MxnetRunner, missing_mxnet
from converters.tensors import TensorSpec, check_feeds
from parity_tests.support.command import run_ganport
from parity_tests.support.foreign_models import make_model, run_model, write_model

SIGNATURE = "(float[items, 3, H, W] x) => (float[items, C, H2, W2] y)"
POOLED = "a = MaxPool<kernel_shape = [4, 4], strides = [4, 4]>(x) y = MaxPool<kernel_shape = [2, 2]>(a)"
OBLONG = "a = MaxPool<kernel_shape = [4, 3], strides = [4, 3]>(x) y = MaxPool<kernel_shape = [2, 1]>(a)"
# What the graph does, and the smallest size of its input.
LEAST = (
    ("y = Relu(x)", 1),
    (POOLED, 8),
    ("y = Conv<dilations = [3, 3]>(x, w)", 13),
    ("y = Conv<pads = [2, 2, 2, 2]>(x, w)", 1),
    ("y = Conv<pads = [1, 1, 1, 1]>(x, w)", 3),
    # Of unlike axes that which needs least decides.
    (OBLONG, 3),
    ("y = Conv<dilations = [1, 3]>(x, w)", 5),
    ("y = Conv<pads = [1, 2, 1, 2]>(x, w)", 1),
    ('y = MaxPool<kernel_shape = [4, 4], auto_pad = "SAME_UPPER">(x)', 1),
    ("y = MaxPool<kernel_shape = [4, 4], ceil_mode = 1>(x)", 1),
    ("a = AveragePool<kernel_shape = [3, 3], strides = [2, 2]>(x) s = Shape(x) r = Resize(a, , , s) y = Conv(r, w)", 5),
    # It fits into no plane that is tried: its size is not what is wrong.
    ("y = AveragePool<kernel_shape = [100, 100]>(x)", 1),
)


@pytest.mark.parametrize(("body", "least"), LEAST)
def test_least_size_is_that_of_the_largest_window(body: str, least: int) -> None:
    assert find_least_size(make_model(13, body, {"w": (3, 3, 5, 5)}, SIGNATURE)) == least


def test_axis_that_no_window_looks_along_is_not_bound_by_one_that_does(tmp_path: Path) -> None:
    """A size that the file takes is judged, proven and verified, if the user gives it."""
    signature = "(float[N, 3, L, F] x) => (float[N, 3, L2, F] y)"
    path = write_model(tmp_path, make_model(17, "y = Conv(x, w)", {"w": (3, 3, 5, 1)}, signature))
    np.savez(tmp_path / "case.npz", x=np.random.default_rng(0).random((1, 3, 9, 3), np.float32))
    done = run_ganport("convert", path, "--to", "onnx", "--inputs", tmp_path / "case.npz", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert run_ganport("verify", tmp_path / "out" / "net").exit_code == 0


@pytest.mark.parametrize("as_output", [True, False])
def test_least_size_does_not_trust_the_shapes_that_the_file_states(as_output: bool) -> None:
    signature = SIGNATURE.replace("=> (", "=> (float[1, 3, 64, 64] a, ") if as_output else SIGNATURE
    model = make_model(13, POOLED, signature=signature)
    if not as_output:
        model.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, (1, 3, 64, 64)))
    assert find_least_size(model) == 8


@pytest.mark.skipif(missing_mxnet() is not None, reason=str(missing_mxnet()))
def test_contract_says_the_least_size_and_mxnet_runs_at_it(tmp_path: Path) -> None:
    path = write_model(tmp_path, make_model(13, POOLED, signature=SIGNATURE))
    done = run_ganport("convert", path, "--to", "mxnet", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    bundle = tmp_path / "out" / "net"
    given = json.loads((bundle / "manifest.json").read_text())["contract"]["inputs"][0]
    assert given["minimum"] == 8
    files = bundle / "net-symbol.json", bundle / "net-0000.params"
    specs = (
        [TensorSpec("x", tuple(given["shape"]), layout="", minimum=given["minimum"])],
        [TensorSpec("y", ("items", 3, "H2", "W2"))],
    )
    with MxnetRunner(*files, *specs) as runner:
        for height, width in ((8, 8), (9, 12), (8, 8)):  # one item: the minimum is not the batch's
            x = np.random.default_rng(1).standard_normal((1, 3, height, width)).astype(np.float32)
            (expected,) = run_model(path, x)
            np.testing.assert_array_equal(runner.run({"x": x})["y"], expected)
        with pytest.raises(FeedError, match="its size H is 7"):
            runner.run({"x": np.zeros((1, 3, 7, 8), np.float32)})


@pytest.mark.parametrize(("shape", "fits"), [((1, 8), True), ((2, 7), False)])
def test_first_of_several_axes_is_not_bound(shape: tuple[int, int], fits: bool) -> None:
    spec = TensorSpec("x", ("items", 3, "H"), layout="", minimum=8)
    feeds = {"x": np.zeros((shape[0], 3, shape[1]), np.float32)}
    if fits:
        check_feeds("net", [spec], feeds)
        return
    with pytest.raises(FeedError, match="its size H is 7"):
        check_feeds("net", [spec], feeds)
