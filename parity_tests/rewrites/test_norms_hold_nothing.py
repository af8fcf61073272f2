"""Every norm has the epsilon of the module and nothing learned or remembered, in the waist and in the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper
from torch import nn

from converters.bundle.checksums import list_files
from converters.convert import Conversion
from converters.targets.mxnet.runtime import load_mxnet
from converters.tensors import Array
from parity_tests.support.waist import Waist

EPSILON = np.float32(1e-5)
NORMS = 7  # three in the encoder, two in the one block, two in the decoder
PLANE = ([2], [3])
BOTH = pytest.mark.parametrize("net", ["edge", "inpaint"])


def constants(model: ModelProto) -> dict[str, Array]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def learned(waist: Waist) -> dict[str, Array]:
    """Weight and bias of each convolution, read from the folded torch module."""
    convolutions = {
        name: module
        for name, module in waist.folded.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    }
    return {
        f"{name}.{kind}": tensor.numpy()
        for name, module in convolutions.items()
        for kind, tensor in (("weight", module.weight), ("bias", module.bias))
        if tensor is not None
    }


def contents(arrays: Mapping[str, Array]) -> list[bytes]:
    """Bytes of each float array of more than one element."""
    return sorted(array.tobytes() for array in arrays.values() if array.dtype == np.float32 and array.size > 1)


def shipped(conversions: Mapping[str, Conversion], net: str, suffix: str) -> Path:
    (path,) = conversions[net].bundle.folder.glob(f"*{suffix}")
    return path


@BOTH
def test_modules_norms_learn_and_remember_nothing(net: str, waists: Mapping[str, Waist]) -> None:
    norms = [m for m in waists[net].model.module.modules() if isinstance(m, nn.InstanceNorm2d)]
    assert [(m.eps, m.affine, m.track_running_stats) for m in norms] == [(1e-5, False, False)] * NORMS


@BOTH
def test_every_norm_of_the_waist_has_the_modules_epsilon_and_ones_and_zeros(
    net: str, waists: Mapping[str, Waist]
) -> None:
    graph = waists[net].graph
    held = constants(graph)
    norms = [node for node in graph.graph.node if node.op_type == "InstanceNormalization"]
    assert len(norms) == NORMS
    for norm in norms:
        (epsilon,) = [helper.get_attribute_value(a) for a in norm.attribute if a.name == "epsilon"]
        assert np.float32(epsilon) == EPSILON
        assert np.all(held[norm.input[1]] == 1)
        assert np.all(held[norm.input[2]] == 0)


@BOTH
def test_onnx_file_spells_every_norm_out_with_the_modules_epsilon(
    net: str, conversions: Mapping[str, Conversion]
) -> None:
    model = onnx.load(shipped(conversions, net, ".onnx"))
    held = constants(model)
    assert not {"InstanceNormalization", "BatchNormalization", "LayerNormalization"} & {
        node.op_type for node in model.graph.node
    }
    roots = {node.input[0] for node in model.graph.node if node.op_type == "Sqrt"}
    sums = [node for node in model.graph.node if node.op_type == "Add" and node.output[0] in roots]
    assert [held[node.input[1]] for node in sums] == [EPSILON] * NORMS
    means = [node for node in model.graph.node if node.op_type == "ReduceMean"]
    assert len(means) == 4 * NORMS
    assert all(held[node.input[1]].tolist() in PLANE for node in means)


@BOTH
def test_mxnet_symbol_spells_every_norm_out_with_the_modules_epsilon(
    net: str, conversions: Mapping[str, Conversion]
) -> None:
    nodes = json.loads(shipped(conversions, net, "-symbol.json").read_text())["nodes"]
    assert not {"InstanceNorm", "BatchNorm", "LayerNorm"} & {node["op"] for node in nodes}
    roots = [node["inputs"][0][0] for node in nodes if node["op"] == "rsqrt"]
    assert [nodes[index]["op"] for index in roots] == ["_plus_scalar"] * NORMS
    assert [np.float32(nodes[index]["attrs"]["scalar"]) for index in roots] == [EPSILON] * NORMS
    # Each norm has the weights of a mean over H and over W, and takes three such means: x, the remainder, its square.
    axes = sorted(node["attrs"]["axis"] for node in nodes if node["op"] == "_contrib_arange_like")
    assert axes == ["2"] * NORMS + ["3"] * NORMS
    means = [node for node in nodes if node["op"] == "Convolution" and node["attrs"]["num_filter"] == "1"]
    assert [node["attrs"]["kernel"] for node in means].count("(1, 1)") == 3 * 2 * NORMS


@BOTH
def test_files_hold_the_convolutions_weights_and_no_other_array(
    net: str, conversions: Mapping[str, Conversion], waists: Mapping[str, Waist]
) -> None:
    expected = contents(learned(waists[net]))
    assert contents(constants(onnx.load(shipped(conversions, net, ".onnx")))) == expected
    loaded = load_mxnet().nd.load(str(shipped(conversions, net, ".params")))
    assert all(name.startswith("arg:") for name in loaded)
    assert contents({name: array.asnumpy() for name, array in loaded.items()}) == expected


@BOTH
def test_no_file_names_a_running_statistic(net: str, conversions: Mapping[str, Conversion]) -> None:
    folder = conversions[net].bundle.folder
    for file in list_files(folder):
        data = (folder / file).read_bytes()
        for word in (b"running_mean", b"running_var", b"moving_mean", b"moving_var", b"num_batches_tracked"):
            assert word not in data, file


def test_words_searched_for_are_those_that_torch_writes() -> None:
    names = nn.InstanceNorm2d(2, track_running_stats=True).state_dict()
    assert set(names) == {"running_mean", "running_var", "num_batches_tracked"}
