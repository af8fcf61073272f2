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
from parity_tests.support.partial_conv_nets import (
    LAYERS,
    MAX_RUNTIME_DIFFERENCE,
    MIN_WRONG_GRAPH_DIFFERENCE,
    build_net,
    make_all_but_a_corner,
    make_photo,
    max_abs_difference,
)
from parity_tests.support.partial_conv_states import LAYOUTS
from parity_tests.support.runtimes import write_mxnet_files
from reference.model import ReferenceModel

# Layers of the published net.
DEEP = 7


@pytest.fixture(scope="module", params=LAYOUTS)
def exported(request: pytest.FixtureRequest) -> tuple[ReferenceModel, ModelProto]:
    """The net in torch, and its simplified graph; read only."""
    model = build_net(request.param)
    return model, simplify(export_onnx(model, model.module))


def break_each(graph: ModelProto) -> Iterator[tuple[str, ModelProto]]:
    """For each Resize node: its name, and a copy of the graph in which that node alone rounds positions up."""
    for name in [node.name for node in graph.graph.node if node.op_type == "Resize"]:
        broken = copy.deepcopy(graph)
        (node,) = (node for node in broken.graph.node if node.name == name)
        (mode,) = (attribute for attribute in node.attribute if attribute.name == "nearest_mode")
        mode.s = b"ceil"
        yield name, broken


def open_graph(graph: ModelProto, model: ReferenceModel) -> OnnxRunner:
    return OnnxRunner(graph.SerializeToString(), model.inputs, model.outputs)


def distance_from_torch(runner: OnnxRunner | MxnetRunner, model: ReferenceModel) -> float:
    """The runner's largest difference from torch, in units of torch's largest value; only a corner is known."""
    photo, mask = make_photo(1, 3, 64, 96), make_all_but_a_corner(64, 96)
    result = runner.run({"image": photo.numpy(), "mask": mask.numpy()})["result"]
    expected = model.module(photo, mask)
    return max_abs_difference(torch.from_numpy(result), expected) / float(expected.abs().max())


def test_masks_that_are_partly_valid_in_the_whole_decoder_are_enlarged_as_torch_does(
    exported: tuple[ReferenceModel, ModelProto],
) -> None:
    model, graph = exported
    assert distance_from_torch(open_graph(graph, model), model) < MAX_RUNTIME_DIFFERENCE


@pytest.mark.skipif(missing_mxnet() is not None, reason=str(missing_mxnet()))
def test_mxnet_enlarges_partly_valid_masks_as_torch_does(
    exported: tuple[ReferenceModel, ModelProto], tmp_path: Path
) -> None:
    model, graph = exported
    with MxnetRunner(*write_mxnet_files(graph, tmp_path), model.inputs, model.outputs) as runner:
        assert distance_from_torch(runner, model) < MAX_RUNTIME_DIFFERENCE


def test_mask_enlarged_one_pixel_off_would_show(exported: tuple[ReferenceModel, ModelProto]) -> None:
    """In every layer of the decoder: a graph that rounds positions up, there alone, is far from torch's answer."""
    model, graph = exported
    broken = list(break_each(graph))
    assert len(broken) == 2 * LAYERS  # features and mask
    for name, broken_graph in broken:
        assert distance_from_torch(open_graph(broken_graph, model), model) > MIN_WRONG_GRAPH_DIFFERENCE, name


def test_what_a_conversion_is_judged_on_shows_it_in_a_net_of_the_published_depth() -> None:
    model = build_net(LAYOUTS[0], DEEP)
    corner = [given for given in short_inputs(model.inputs) if "/corner " in given.name]
    expected = run_reference(model, corner)
    graph = simplify(export_onnx(model, model.module))

    def passes(candidate: ModelProto) -> bool:
        (report,) = expected.compare("onnx", "onnx", open_graph(candidate, model))
        return report.passed

    assert passes(graph)
    for name, broken in break_each(graph):
        assert not passes(broken), name
