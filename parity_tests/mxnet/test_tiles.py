"""Our own operators as MXNet symbols, in real mxnet, against torch in float64, on planes of any size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from converters.onnx_graph.nodes import INTERNAL_DOMAIN
from converters.rewrites import block_convolution, choose_tiling
from converters.rewrites.block_convolution import rewrite_block_convolution
from converters.rewrites.tune_cpu import tune_for_cpu
from converters.rewrites.winograd import rewrite_winograd
from converters.targets.mxnet.runtime import MxnetRunner, missing_mxnet
from converters.tensors import Array, TensorSpec
from parity_tests.support.convolution_cases import (
    CONVS,
    IN_CHANNELS,
    RELATIVE,
    SIZES,
    chain,
    down_and_up,
    model_of,
    run_onnx,
    torch_result,
)
from parity_tests.support.runtimes import write_mxnet_files
from parity_tests.support.unusual_graphs import GRAPHS, run

pytestmark = pytest.mark.skipif(missing_mxnet() is not None, reason=str(missing_mxnet()))
BLOCKS = {
    "7x7 mirrored": {"kernel": 7, "mirrored": 3},
    "5x5 zeros": {"kernel": 5, "pads": 2},
    "3x3 without padding": {"kernel": 3},
}


@pytest.fixture(autouse=True)
def _every_rewrite_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_tiling, "MAX_COST_RATIO", float("inf"))
    monkeypatch.setattr(block_convolution, "MIN_IN_CHANNELS", 1)


def open_mxnet(model: ModelProto, folder: Path, outputs: tuple[str, ...] = ("y",)) -> MxnetRunner:
    def spec(name: str) -> TensorSpec:
        return TensorSpec(name, ("N", "C", "H", "W"), "float32", "NCHW", None, "any")

    return MxnetRunner(*write_mxnet_files(model, folder), [spec("x")], [spec(name) for name in outputs])


def own_ops(model: ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node if node.domain == INTERNAL_DOMAIN}


def require_torchs(runner: MxnetRunner, conv: dict[str, object]) -> None:
    random = np.random.default_rng(1)
    for batch, height, width in SIZES:
        if min(height, width) < conv["kernel"]:
            continue
        x = random.standard_normal((batch, IN_CHANNELS, height, width)).astype(np.float32)
        expected = torch_result(conv, x)
        actual: Array = runner.run({"x": x})["y"]
        assert actual.shape == expected.shape
        assert np.abs(actual - expected).max() <= RELATIVE * np.abs(expected).max(), (batch, height, width)


@pytest.mark.parametrize("name", CONVS)
def test_tiled_convolution_gives_what_torch_gives_at_any_size(name: str, tmp_path: Path) -> None:
    planned, _ = rewrite_winograd(model_of(CONVS[name]))
    assert own_ops(planned) == {"TiledConvolution"}
    require_torchs(open_mxnet(planned, tmp_path), CONVS[name])


@pytest.mark.parametrize("make", [chain, down_and_up])
def test_tensors_with_channels_last_between_tiled_convolutions(make: Callable[[], ModelProto], tmp_path: Path) -> None:
    planned, _ = rewrite_winograd(make())
    assert own_ops(planned) == {"TiledConvolution"} | ({"ChannelsLastNorm"} if make is chain else set())
    runner = open_mxnet(planned, tmp_path)
    for batch, height, width in SIZES:
        for seed in (5, 6):  # the second time in the same executor
            x = np.random.default_rng(seed).standard_normal((batch, IN_CHANNELS, height, width)).astype(np.float32)
            (expected,) = run_onnx(make(), x)
            assert np.abs(runner.run({"x": x})["y"] - expected).max() <= 10 * RELATIVE * np.abs(expected).max()


@pytest.mark.parametrize("name", BLOCKS)
def test_block_convolution_gives_what_torch_gives_at_any_size(name: str, tmp_path: Path) -> None:
    planned, _ = rewrite_block_convolution(model_of(BLOCKS[name]))
    assert own_ops(planned) == {"BlockConvolution"}
    require_torchs(open_mxnet(planned, tmp_path), BLOCKS[name])


@pytest.mark.parametrize("name", [name for name, graph in GRAPHS.items()])
def test_unusual_graph_gives_what_onnx_runtime_gives(name: str, tmp_path: Path) -> None:
    given = GRAPHS[name]
    model = given.build()
    *_, tuned = tune_for_cpu(model)
    files = write_mxnet_files(tuned.planned, tmp_path)
    inputs, outputs = (
        [TensorSpec(x, (f"N{x}", "C", f"H{x}", f"W{x}"), "float32", "NCHW", None, "any") for x in names]
        for names in (given.inputs, "y")
    )
    runner = MxnetRunner(*files, inputs, outputs)
    for feeds in given.feeds:
        expected = run(model, feeds)
        actual = runner.run(feeds)["y"]
        assert actual.shape == expected.shape
        assert np.abs(actual - expected).max() <= 20 * RELATIVE * np.abs(expected).max()
