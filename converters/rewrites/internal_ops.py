"""Operators of ours, for graphs on their way to a file: each target spells them in its own (`expand` for ONNX).

- TiledConvolution(x: (N, H, W, C), w, b?) -> (N, H', W', K): a convolution computed in tiles (`tiling`). Attributes:
  those of `tiling.Convolution`, and `tile`, the outputs of a tile along an axis.
- ChannelsLastNorm(x: (N, H, W, C), scale: (C,), bias: (C,)) -> (N, H, W, C): InstanceNormalization. Attribute: epsilon.
- BlockConvolution(x: (N, C, H, W), w, b?) -> (N, K, H', W'): a convolution of stride 1 that computes a block of output
  pixels at once (`block_convolution`). Attributes: padding, rows, columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

from converters.rewrites.tiling import Convolution
from converters.tensors import Array

DOMAIN = "ganport"
TILED = "TiledConvolution"
NORM = "ChannelsLastNorm"
BLOCKS = "BlockConvolution"


def make_internal_node(op: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    """A node of one of them."""
    return helper.make_node(op, inputs, [output], name=output, domain=DOMAIN, **attributes)


def declare_ranks(model: ModelProto) -> ModelProto:
    """A copy of `model` that says of every output of them that it has four axes: shape inference cannot know it."""
    declared = ModelProto()
    declared.CopyFrom(model)
    declared.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    for node in model.graph.node:
        if node.domain == DOMAIN:
            value = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, [None] * 4)
            declared.graph.value_info.append(value)
    return declared


def read_internal_attributes(node: NodeProto) -> Mapping[str, Any]:
    """Its attributes by name."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def describe_convolution(conv: Convolution) -> dict[str, int]:
    """A convolution as attributes of TILED."""
    return {
        "stride": conv.stride,
        "dilation": conv.dilation,
        "padding": conv.padding,
        "reflect": int(conv.reflect),
        "transposed": int(conv.transposed),
        "output_padding": conv.output_padding,
    }


def restore_convolution(weight: Array, bias: Array | None, attributes: Mapping[str, Any]) -> Convolution:
    """The convolution that `describe_convolution` had."""
    return Convolution(
        weight,
        bias,
        stride=attributes["stride"],
        dilation=attributes["dilation"],
        padding=attributes["padding"],
        reflect=bool(attributes["reflect"]),
        transposed=bool(attributes["transposed"]),
        output_padding=attributes["output_padding"],
    )
