"""Weights that are inputs or are computed in the graph: right on every run of one executor, not on the first alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from converters.errors import ParityError
from converters.parity.compare import require_passed
from converters.parity.expected import ReferenceOutputs, make_unlike
from converters.runners import OnnxRunner
from converters.targets.mxnet.ops import convolution
from converters.targets.mxnet.ops.registry import Emitter, Value
from converters.targets.mxnet.ops.windows import Windows
from converters.targets.mxnet.runtime import MxnetRunner
from converters.targets.mxnet.write import convert_to_mxnet
from converters.tensors import Tensors, TensorSpec
from parity_tests.support.command import run_ganport
from parity_tests.support.foreign_models import make_model, write_model
from parity_tests.support.runtimes import run_onnxruntime, write_mxnet_files

# Sums of up to 36 products of size 1, in another order: 2e-6 was measured. The kept weight errs by 0.07 to 0.97.
RIGHT = 1e-5

# Of StyleGAN2: the weight is scaled by a style for every item, and the items become groups.
MODULATED = """
    r = Reshape(s, s_shape)
    scaled = Mul(w, r)
    squared = Mul(scaled, scaled)
    power = ReduceSum(squared, summed)
    shifted = Add(power, epsilon)
    norm = Sqrt(shifted)
    kernels = Div(scaled, norm)
    k = Reshape(kernels, k_shape)
    g = Reshape(x, x_shape)
    c = Conv<group = 2, pads = [1, 1, 1, 1]>(g, k)
    y = Reshape(c, y_shape)
"""
MODULATED_WEIGHTS = {
    "w": (1, 6, 4, 3, 3),
    "s_shape": np.array([2, 1, 4, 1, 1]),
    "summed": np.array([2, 3, 4]),
    "epsilon": np.array(1e-8, np.float32),
    "k_shape": np.array([12, 4, 3, 3]),
    "x_shape": np.array([1, 8, 9, 12]),
    "y_shape": np.array([2, 6, 9, 12]),
}
MODELS: dict[str, ModelProto] = {
    "weight is an input": make_model(
        17,
        "y = Conv<strides = [2, 1], pads = [1, 0, 2, 3], dilations = [1, 2]>(x, w, b)",
        signature="(float[2, 4, 9, 12] x, float[5, 4, 3, 2] w, float[5] b) => (float[2, 5, H, W] y)",
    ),
    "weight is computed": make_model(
        17,
        "w = Mul(v, s) y = Conv<group = 2>(x, w)",
        {"v": (6, 2, 3, 2)},
        "(float[2, 4, 9, 12] x, float[1] s) => (float[2, 6, H, W] y)",
    ),
    "rows": make_model(
        17,
        "y = Conv<strides = [2], pads = [1, 1]>(x, w)",
        signature="(float[2, 4, 9] x, float[5, 4, 3] w) => (float[2, 5, L] y)",
    ),
    "modulated": make_model(
        17, MODULATED, MODULATED_WEIGHTS, "(float[2, 4, 9, 12] x, float[2, 4] s) => (float[2, 6, 9, 12] y)"
    ),
    "transposed": make_model(
        17,
        "y = ConvTranspose<strides = [2, 1], group = 2>(x, w)",
        signature="(float[2, 4, 9, 12] x, float[4, 3, 3, 2] w) => (float[2, 6, H, W] y)",
    ),
    # The means of a norm are convolutions whose weights follow from the shapes.
    "norm": make_model(
        17,
        "h = Conv<pads = [1, 1, 1, 1]>(x, w) y = InstanceNormalization(h, scale, bias)",
        {"w": (16, 4, 3, 3), "scale": np.ones(16, np.float32), "bias": np.zeros(16, np.float32)},
        "(float[2, 4, 32, 48] x) => (float[2, 16, 32, 48] y)",
    ),
    "matrix": make_model(
        17, "y = Gemm<transB = 1>(x, w)", signature="(float[2, 4] x, float[5, 4] w) => (float[2, 5] y)"
    ),
}


def specs(model: ModelProto, side: str) -> list[TensorSpec]:
    return [
        TensorSpec(value.name, tuple(d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim), layout="")
        for value in getattr(model.graph, side)
    ]


def draw_feeds(inputs: list[TensorSpec], seed: int) -> Tensors:
    random = np.random.default_rng(seed)
    return {
        spec.name: random.normal(0, 1, [size for size in spec.shape if isinstance(size, int)]).astype(np.float32)
        for spec in inputs
    }


def open_mxnet(model: ModelProto, folder: Path) -> MxnetRunner:
    symbol, params = write_mxnet_files(model, folder)
    return MxnetRunner(symbol, params, specs(model, "input"), specs(model, "output"))


@pytest.mark.parametrize("case", MODELS)
def test_every_run_of_one_executor_is_right(case: str, tmp_path: Path) -> None:
    model = MODELS[case]
    with open_mxnet(model, tmp_path) as runner:
        for seed in (0, 1, 0, 2):
            feeds = draw_feeds(specs(model, "input"), seed)
            (expected,) = run_onnxruntime(model, feeds)
            (actual,) = runner.run(feeds).values()
            assert np.abs(actual - expected).max() <= RIGHT


@pytest.mark.parametrize("case", ["weight is an input", "weight is computed", "modulated"])
def test_file_is_proven_on_one_pair_of_inputs_and_kept(case: str, tmp_path: Path) -> None:
    model = MODELS[case]
    path = write_model(tmp_path, model)
    np.savez(tmp_path / "one.npz", **draw_feeds(specs(model, "input"), 0))
    done = run_ganport("convert", path, "--to", "mxnet", "--inputs", tmp_path / "one.npz", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert run_ganport("verify", tmp_path / "out" / "net").exit_code == 0


def let_mxnet_keep_it(emit: Emitter, x: Value, w: Value, b: Value | None, windows: Windows, group: int) -> Value:
    """MXNet's own operator on a weight that is not a constant."""
    return emit(
        "Convolution",
        *([x, w] if b is None else [x, w, b]),
        num_filter=emit.require_fixed_shape(w)[0],
        kernel=windows.kernel,
        stride=windows.strides,
        dilate=windows.dilations,
        pad=tuple(begin for begin, _ in windows.pads),
        num_group=group,
        no_bias=b is None,
    )


def test_kept_weight_is_found_on_one_pair_of_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "convolve_patches", let_mxnet_keep_it)
    path = write_model(tmp_path, MODELS["weight is computed"])
    np.savez(tmp_path / "one.npz", **draw_feeds(specs(MODELS["weight is computed"], "input"), 0))
    done = run_ganport("convert", path, "--to", "mxnet", "--inputs", tmp_path / "one.npz", "-o", tmp_path / "out")
    assert done.exit_code == 3
    assert "rung 'mxnet', output 'y', input 'one.npz" in done.stderr


class Keeping:
    """A runner that from its run number `since` on answers with what that one gave."""

    def __init__(self, runner: OnnxRunner, since: int) -> None:
        self._runner, self._since = runner, since
        self._kept: Tensors = {}
        self.fed: list[Tensors] = []
        self.inputs, self.outputs = runner.inputs, runner.outputs

    def run(self, feeds: Tensors) -> Tensors:
        self.fed.append(feeds)
        if len(self.fed) <= self._since:
            self._kept = self._runner.run(feeds)
        return self._kept

    def __enter__(self) -> Keeping:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class Named:
    name, sha256 = "one", ""


@pytest.mark.parametrize(("count", "since"), [(1, 1), (1, 3), (2, 1), (2, 2), (2, 3)])
def test_answer_that_is_kept_from_run_to_run_is_found(count: int, since: int, tmp_path: Path) -> None:
    model = MODELS["matrix"]
    given, gives = specs(model, "input"), specs(model, "output")
    feeds = tuple(draw_feeds(given, seed) for seed in range(count))
    runner = OnnxRunner(write_model(tmp_path, model), given, gives)
    answers = tuple(runner.run(fed) for fed in feeds)
    expected = ReferenceOutputs(tuple(gives), (Named(),) * count, feeds, answers, None)
    (report,) = expected.compare("onnx", "onnx", runner)
    require_passed(report, "net")
    keeping = Keeping(runner, since)
    (report,) = expected.compare("onnx", "onnx", keeping)
    with pytest.raises(ParityError, match="one"):
        require_passed(report, "net")
    assert keeping.fed[-1] is feeds[0]
    assert any(fed is feeds[0] for fed in keeping.fed[:-1])
    assert not any(np.array_equal(keeping.fed[0][name], feeds[0][name]) for name in feeds[0])


def test_unlike_arrays_have_the_shapes_and_types_of_the_first() -> None:
    first = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(3), "c": np.array([True, False])}
    unlike = make_unlike(first)
    assert [(array.shape, array.dtype) for array in unlike.values()] == [(a.shape, a.dtype) for a in first.values()]
    assert not any(np.array_equal(unlike[name], first[name]) for name in first)


PRODUCTS = {
    "constant": ("(float[N, 4, 6] x) => (float[N, 4, 5] y)", {"w": (6, 5)}, "FullyConnected"),
    "input": ("(float[N, 4, 6] x, float[6, 5] w) => (float[N, 4, 5] y)", {}, "dot"),
}


@pytest.mark.parametrize("kind", PRODUCTS)
def test_only_a_constant_matrix_is_one_that_onednn_may_keep(kind: str) -> None:
    signature, weights, operator = PRODUCTS[kind]
    symbol = json.loads(convert_to_mxnet(make_model(18, "y = MatMul(x, w)", weights, signature)).symbol_json)
    assert [node["op"] for node in symbol["nodes"] if node["op"] != "null"] == [operator]
