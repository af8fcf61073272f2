"""Partial convolutions' masks in the decoder: enlarged as torch does it, and a graph that does not is found."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from onnx import ModelProto

from converters.onnx_graph.simplify import simplify
from converters.parity.inputs import short_inputs
from converters.runners import OnnxRunner
from converters.sources.export_torch import export_onnx
from converters.sources.torch_source import run_reference
from converters.targets.mxnet.runtime import MxnetRunner, missing_mxnet
from converters.targets.mxnet.write import convert_to_mxnet
from parity_tests.reference.test_partial_conv import (
    BETWEEN_RUNTIMES,
    LAYERS,
    SEEN,
    build,
    farthest,
    make_corner,
    make_photo,
)
from parity_tests.support.partial_conv_states import LAYOUTS
from reference.model import ReferenceModel

# The published net's.
DEEP = 7


@pytest.fixture(scope="module", params=LAYOUTS)
def exported(request: pytest.FixtureRequest) -> tuple[ReferenceModel, ModelProto]:
    """The net in torch, and its simplified graph; read only."""
    model = build(request.param)
    return model, simplify(export_onnx(model, model.module))


def break_each(graph: ModelProto) -> Iterator[tuple[str, ModelProto]]:
    """Copies in each of which one tensor is enlarged one pixel off, and that node's name."""
    for name in [node.name for node in graph.graph.node if node.op_type == "Resize"]:
        broken = copy.deepcopy(graph)
        (node,) = (node for node in broken.graph.node if node.name == name)
        (mode,) = (attribute for attribute in node.attribute if attribute.name == "nearest_mode")
        mode.s = b"ceil"
        yield name, broken


def distance_from_torch(runner: OnnxRunner | MxnetRunner, model: ReferenceModel) -> float:
    """Of a photo of which a corner is known, as the runner fills it; in units of the largest value."""
    photo, mask = make_photo(1, 3, 64, 96), make_corner(64, 96)
    result = runner.run({"image": photo.numpy(), "mask": mask.numpy()})["result"]
    expected = model.module(photo, mask)
    return farthest(torch.from_numpy(result), expected) / float(expected.abs().max())


def test_masks_that_are_partly_valid_in_the_whole_decoder_are_enlarged_as_torch_does(
    exported: tuple[ReferenceModel, ModelProto],
) -> None:
    model, graph = exported
    assert distance_from_torch(OnnxRunner(graph.SerializeToString(), model.inputs, model.outputs), model) < (
        BETWEEN_RUNTIMES
    )


@pytest.mark.skipif(missing_mxnet() is not None, reason=str(missing_mxnet()))
def test_mxnet_enlarges_partly_valid_masks_as_torch_does(
    exported: tuple[ReferenceModel, ModelProto], tmp_path: Path
) -> None:
    model, graph = exported
    files = convert_to_mxnet(graph)
    symbol, params = tmp_path / "net-symbol.json", tmp_path / "net-0000.params"
    symbol.write_text(files.symbol_json)
    params.write_bytes(files.params)
    with MxnetRunner(symbol, params, model.inputs, model.outputs) as runner:
        assert distance_from_torch(runner, model) < BETWEEN_RUNTIMES


def test_mask_enlarged_one_pixel_off_would_show(exported: tuple[ReferenceModel, ModelProto]) -> None:
    """In every layer of the decoder: a graph that rounds positions up, there alone, is far from torch's answer."""
    model, graph = exported
    broken = list(break_each(graph))
    assert len(broken) == 2 * LAYERS  # features and mask
    for name, broken_graph in broken:
        distance = distance_from_torch(OnnxRunner(broken_graph.SerializeToString(), model.inputs, model.outputs), model)
        assert distance > SEEN, name


def test_what_a_conversion_is_judged_on_shows_it_in_a_net_of_the_published_depth() -> None:
    model = build(LAYOUTS[0], DEEP)
    corner = [given for given in short_inputs(model.inputs) if "/corner " in given.name]
    expected = run_reference(model, corner)
    graph = simplify(export_onnx(model, model.module))
    assert [report.passed for report in expected.compare("onnx", "onnx", run_graph(graph, model))] == [True]
    for name, broken in break_each(graph):
        assert [report.passed for report in expected.compare("onnx", "onnx", run_graph(broken, model))] == [False], name


def run_graph(graph: ModelProto, model: ReferenceModel) -> OnnxRunner:
    return OnnxRunner(graph.SerializeToString(), model.inputs, model.outputs)
