"""The internal operators of graphs tuned for a CPU. Each target replaces them by its own operators.

No ONNX file has them: `expand` replaces them by ONNX's operators. They are:

- TiledConvolution(x: (N, H, W, C), w, b?) -> (N, H', W', K): a convolution computed in tiles (`tiling`). Attributes:
  those of `tiling.Convolution`, and `tile`, the outputs of a tile along each axis.
- ChannelsLastNorm(x: (N, H, W, C), scale: (C,), bias: (C,)) -> (N, H, W, C): InstanceNormalization. Attribute: epsilon.
- BlockConvolution(x: (N, C, H, W), w, b?) -> (N, K, H', W'): a convolution of stride 1 that computes a block of output
  pixels at once (`block_convolution`). Attributes: padding, rows, columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

from converters.onnx_graph.nodes import INTERNAL_DOMAIN
from converters.rewrites.tiling import Convolution
from converters.tensors import Array

TILED = "TiledConvolution"
NORM = "ChannelsLastNorm"
BLOCKS = "BlockConvolution"


def make_internal_node(op: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    """A node of an internal operator, named after its output."""
    return helper.make_node(op, inputs, [output], name=output, domain=INTERNAL_DOMAIN, **attributes)


def declare_ranks(model: ModelProto) -> ModelProto:
    """A copy of `model` whose value_info gives rank 4 to every internal operator's output.

    onnx's shape inference does not know the internal operators.
    """
    declared = ModelProto()
    declared.CopyFrom(model)
    declared.opset_import.append(helper.make_opsetid(INTERNAL_DOMAIN, 1))
    for node in model.graph.node:
        if node.domain == INTERNAL_DOMAIN:
            value = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, [None] * 4)
            declared.graph.value_info.append(value)
    return declared


def describe_convolution(conv: Convolution) -> dict[str, int]:
    """The attributes of a TiledConvolution, without `tile`."""
    return {
        "stride": conv.stride,
        "dilation": conv.dilation,
        "padding": conv.padding,
        "reflect": int(conv.reflect),
        "transposed": int(conv.transposed),
        "output_padding": conv.output_padding,
    }


def restore_convolution(weight: Array, bias: Array | None, attributes: Mapping[str, Any]) -> Convolution:
    """The convolution that `describe_convolution` made the attributes of."""
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
