"""The bundle in reference/bundles is what a conversion of the shipped pair gives, and computes what they compute."""

from __future__ import annotations

import json
from importlib.metadata import version

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from converters.bundle.folder import read_bundle
from converters.convert import Conversion
from converters.parity.inputs import short_inputs
from converters.prove import prove
from converters.verify import verify
from parity_tests.support.places import ROOT
from reference.registry import shipped_bundle, shipped_checkpoints

FILE = "edgeconnect.onnx"
RENEW = "run `make bundle`"
# What writes the graph: another release of one of these may write it otherwise.
EXPORTERS = ("torch", "onnx", "onnxscript", "onnxsim")
# Of a weight that was divided by a spectral norm, whose last bit depends on the processor.
ROUNDING = 1e-6


def split(model: ModelProto) -> tuple[bytes, list[np.ndarray]]:
    """The graph without its weights, and the weights."""
    weights = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    return model.SerializeToString(deterministic=True), weights


def test_it_was_made_of_the_pair_that_ships_and_of_that_alone() -> None:
    manifest = read_bundle(shipped_bundle()).manifest
    sources = {source.file: source.sha256 for source in manifest.sources}
    note = (ROOT / "reference" / "weights" / "README.md").read_text()
    assert set(sources) == {path.name for path in shipped_checkpoints()}
    assert all(sha256 in note for sha256 in sources.values())
    assert [artifact.target for artifact in manifest.artifacts] == ["onnx"]
    assert manifest.not_verified == {}


def test_it_has_its_licence_note() -> None:
    note = (ROOT / "reference" / "bundles" / "README.md").read_text()
    weights = (ROOT / "reference" / "weights" / "README.md").read_text()
    (licence,) = (line for line in note.splitlines() if line.startswith("Licence: "))
    assert licence.split(",")[0] in weights
    assert "Credit: CQ100" in note


def test_it_verifies() -> None:
    (*replays,) = verify(shipped_bundle())
    assert {replay.target for replay in replays} == {"onnx"}
    assert all(replay.skipped is None for replay in replays)


def test_a_conversion_gives_the_same_file(shipped_pipeline: Conversion) -> None:
    ours = read_bundle(shipped_bundle())
    recorded = {package: ours.manifest.versions[package] for package in EXPORTERS}
    here = {package: version(package) for package in EXPORTERS}
    if recorded != here:
        pytest.skip(f"made with {recorded}, here are {here}; the next test proves the file")
    fresh = shipped_pipeline.bundle.folder
    graph, weights = split(onnx.load(ours.folder / FILE))
    fresh_graph, fresh_weights = split(onnx.load(fresh / FILE))
    assert graph == fresh_graph, RENEW
    for weight, again in zip(weights, fresh_weights, strict=True):
        np.testing.assert_allclose(weight, again, rtol=ROUNDING, err_msg=RENEW)
    assert (
        json.loads((ours.folder / "manifest.json").read_text())["contract"]
        == json.loads((fresh / "manifest.json").read_text())["contract"]
    ), RENEW


def test_it_computes_what_the_pair_computes() -> None:
    reports, judged, unverified = prove(shipped_bundle(), shipped_checkpoints(), short_inputs, lambda step: None)
    assert {report.rung for report in reports} == {"onnx", "onnx, result", "onnx, canny"}
    assert all(report.passed for report in reports)
    assert len(judged) > 3
    assert unverified == {}
