"""Read a 2-D convolution and the reflection in front of it off an ONNX graph, or say why it is left as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, helper, numpy_helper

from converters.rewrites.tiling import Convolution
from converters.tensors import Array

OPERATORS = ("Conv", "ConvTranspose")


class ConvolutionReader:
    """The convolutions of one graph.

    Attributes:
        constants: Values of the graph's constants that are no inputs too.
    """

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        given = {value.name for value in graph.input}
        self.constants: Mapping[str, Array] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name not in given
        }
        self._producers = {name: node for node in graph.node for name in node.output}
        self._uses: dict[str, int] = {}
        for node in graph.node:
            for name in node.input:
                self._uses[name] = self._uses.get(name, 0) + 1

    def read(self, node: NodeProto) -> FoundConvolution | str:
        """The convolution of `node`, or a sentence on what it has that is not handled."""
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
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
            mirrored = self._read_reflection(producer)
            if mirrored is not None:
                padding, reflect, source, pad = mirrored, True, producer.input[0], producer.output[0]
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
        if self._uses[weight] > 1:
            return "its weight is shared with another node"
        if self.constants[weight].dtype != "float32":
            return f"its weight is {self.constants[weight].dtype}; only float32 is handled"
        return None

    def _read_reflection(self, pad: NodeProto) -> int | None:
        """The width of a Pad that mirrors all four sides equally; None if it is another one."""
        mode = next((attribute.s for attribute in pad.attribute if attribute.name == "mode"), b"constant")
        amounts = self.constants.get(pad.input[1])
        if mode != b"reflect" or amounts is None or (len(pad.input) > 3 and pad.input[3]):
            return None
        before, after = amounts[:4], amounts[4:]
        if len(amounts) != 8 or any(amounts[[0, 1, 4, 5]]) or len({*before[2:], *after[2:]}) != 1 or before[2] < 0:
            return None
        return int(before[2])


@dataclass(frozen=True)
class FoundConvolution:
    """A convolution, the tensor it reads, and the output of the Pad between them that it takes in."""

    convolution: Convolution
    source: str
    pad: str | None


def _refuse_attributes(attributes: Mapping[str, object]) -> str | None:
    if attributes.get("group", 1) != 1:
        return f"it has {attributes['group']} groups"
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or "output_shape" in attributes:
        return "its padding is left to the runtime (auto_pad or output_shape)"
    for name in ("strides", "dilations", "pads", "output_padding"):
        values = attributes.get(name, [])
        if isinstance(values, list) and len(set(values)) > 1:
            return f"its {name} {tuple(values)} are not all equal"
    return None
