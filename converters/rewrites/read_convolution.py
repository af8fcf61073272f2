"""Read a 2-D convolution, and a reflecting Pad in front of it, from an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto, NodeProto

from converters.onnx_graph.nodes import read_attributes, read_constants
from converters.onnx_graph.traversal import find_readers
from converters.rewrites.tiling import Convolution
from converters.tensors import Array

OPERATORS = ("Conv", "ConvTranspose")


class ConvolutionReader:
    """Reads the convolutions of one graph.

    Attributes:
        constants: As `read_constants` reads them.
    """

    def __init__(self, model: ModelProto) -> None:
        self.constants: Mapping[str, Array] = read_constants(model)
        self._producers = {name: node for node in model.graph.node for name in node.output}
        self._readers = find_readers(model.graph)

    def read(self, node: NodeProto) -> FoundConvolution | str:
        """The convolution of a Conv or ConvTranspose, or a sentence that says why the rewrites do not handle it."""
        attributes = read_attributes(node)
        weight, bias = node.input[1], node.input[2] if len(node.input) > 2 else ""
        refusal = self._refuse_weights(weight, bias) or _refuse_attributes(attributes)
        if refusal:
            return refusal
        array = self.constants[weight]
        if array.ndim != 4 or array.shape[2] != array.shape[3]:
            return f"its kernel is {' x '.join(map(str, array.shape[2:]))}; only square ones are handled"
        transposed = node.op_type == "ConvTranspose"
        stride, dilation = attributes.get("strides", [1])[0], attributes.get("dilations", [1])[0]
        if dilation > 1 and (stride > 1 or transposed):
            return f"it has stride {stride} and dilation {dilation}; only one of them is handled"
        padding, reflect, source, pad = attributes.get("pads", [0])[0], False, node.input[0], None
        producer = self._producers.get(source)
        if producer is not None and producer.op_type == "Pad" and not transposed and padding == 0:
            width = self._read_reflection(producer)
            if width is not None:
                padding, reflect, source, pad = width, True, producer.input[0], producer.output[0]
        conv = Convolution(
            weight=array,
            bias=self.constants[bias] if bias else None,
            stride=stride,
            dilation=dilation,
            padding=padding,
            reflect=reflect,
            transposed=transposed,
            output_padding=attributes.get("output_padding", [0])[0],
        )
        return FoundConvolution(conv, source, pad)

    def _refuse_weights(self, weight: str, bias: str) -> str | None:
        for name, role in ((weight, "weight"), (bias, "bias")):
            if name and name not in self.constants:
                return f"its {role} is an input of the model or computed in the graph"
        if len(self._readers[weight]) > 1:
            return "its weight is shared with another node"
        if self.constants[weight].dtype != "float32":
            return f"its weight is {self.constants[weight].dtype}; only float32 is handled"
        return None

    def _read_reflection(self, pad: NodeProto) -> int | None:
        """The width in pixels of a Pad that reflects all four sides of a plane equally, or None for any other Pad."""
        mode = read_attributes(pad).get("mode", "constant")
        amounts = self.constants.get(pad.input[1])
        if mode != "reflect" or amounts is None or (len(pad.input) > 3 and pad.input[3]):
            return None
        before, after = amounts[:4], amounts[4:]
        if len(amounts) != 8 or any(amounts[[0, 1, 4, 5]]) or len({*before[2:], *after[2:]}) != 1 or before[2] < 0:
            return None
        return int(before[2])


@dataclass(frozen=True)
class FoundConvolution:
    """A convolution that was read from a graph.

    Attributes:
        convolution: The convolution, its padding included.
        source: Name of the tensor that it convolves; with a reflecting Pad in front, the Pad's input.
        pad: Name of that Pad's output, None without one.
    """

    convolution: Convolution
    source: str
    pad: str | None


def _refuse_attributes(attributes: Mapping[str, object]) -> str | None:
    if attributes.get("group", 1) != 1:
        return f"it has {attributes['group']} groups"
    if attributes.get("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in attributes:
        return "its padding is left to the runtime (auto_pad or output_shape)"
    for name in ("strides", "dilations", "pads", "output_padding"):
        values = attributes.get(name, [])
        if isinstance(values, list) and len(set(values)) > 1:
            return f"its {name} {tuple(values)} are not all equal"
    return None
