"""From the waist to a package that builds a native NetGraph, its arrays, and a program that checks them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from onnx import ModelProto, numpy_helper

from converters.bundle.folder import GOLDEN
from converters.errors import UnsupportedOpError
from converters.onnx_graph.nodes import read_names, read_nodes, read_opset, require_float32
from converters.onnx_graph.shapes import read_shapes
from converters.targets.wolfram.ops import OPS, Emitter, Net, Value
from converters.targets.wolfram.ops.registry import RANK
from converters.targets.wolfram.syntax import format_list, format_real, format_string
from converters.tensors import TensorSpec

TEMPLATES = files("consumers") / "wolfram"
PLACEHOLDER = re.compile(r"@(\w+)@")
# {width, height} where the size is free.
DEFAULT_SIZE = (256, 256)


@dataclass(frozen=True)
class WolframFiles:
    """Names of the files that the package and the check speak of.

    Attributes:
        name: The bundle's.
    """

    name: str

    @property
    def package(self) -> str:
        return f"{self.name}.wl"

    @property
    def weights(self) -> str:
        return f"{self.name}-weights.wxf"

    @property
    def check(self) -> str:
        return f"{self.name}-check.wl"

    @property
    def onnx(self) -> str:
        """Another route, written by its own target, as the two after it."""
        return f"{self.name}.onnx"

    @property
    def symbol(self) -> str:
        return f"{self.name}-symbol.json"

    @property
    def params(self) -> str:
        return f"{self.name}-0000.params"

    @property
    def builder(self) -> str:
        """The package's function: BuildEdgeconnectEdge for edgeconnect-edge."""
        words = re.findall("[A-Za-z0-9]+", self.name)
        return "Build" + "".join(word[0].upper() + word[1:] for word in words)


def convert_to_wolfram(model: ModelProto) -> Net:
    """Translate every node; layers are named after ONNX outputs, ports as inputs and outputs are.

    Args:
        model: float32 graph of opset 18 or earlier; sizes may be free.

    Raises:
        UnsupportedOpError: a node has no translation; it is named, with the reason.
    """
    opset = read_opset(model)
    shapes = read_shapes(model)
    net = Net(frozenset(read_names(model)))
    outputs = {output.name for output in model.graph.output}
    values: dict[str, Value] = {}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        values[tensor.name] = Value(tensor.name, array.shape, array)
    for given in model.graph.input:
        if given.name in values:
            continue
        require_float32(given)
        shape = shapes.get(given.name)
        if shape is None or len(shape) != RANK or not isinstance(shape[1], int):
            raise UnsupportedOpError(
                f"input '{given.name}'", f"its shape is {shape}", "Only planes (NCHW) of known channels are translated"
            )
        values[given.name] = Value(given.name, shape, source=f"NetPort[{format_string(given.name)}]")
    for node in read_nodes(model):
        # The page "NetGraph" does not say whether a layer may have a port's name.
        layer = net.make_name(f"{node.output}_layer") if node.output in outputs else node.output
        inputs = [values[name] if name else None for name in node.inputs]
        result = OPS.convert(Emitter(node.where, layer, net), node.op, opset, inputs, node.attributes)
        values[node.output] = Value(node.output, shapes.get(node.output), source=result.source)
    for name in outputs:
        source = values[name].source
        if source is None or source.startswith("NetPort"):
            raise UnsupportedOpError(f"output '{name}'", "no node gives it", "Check the model")
    net.connections.extend(
        f"{values[output.name].source} -> NetPort[{format_string(output.name)}]" for output in model.graph.output
    )
    return net


def format_package(files: WolframFiles, net: Net, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """The text of the package.

    Args:
        inputs: Contract.
        outputs: Contract; what the NetGraph's ports say is left out of those that are not of the inputs' size.

    Raises:
        UnsupportedOpError: one "ImageSize" does not tell the inputs' sizes: several fixed ones, or one fixed side.
    """
    height, width = inputs[0].shape[-2:]
    sizes = {spec.shape[-2:] for spec in inputs}
    kinds = {isinstance(side, int) for size in sizes for side in size}
    if len(kinds) > 1 or (kinds == {True} and len(sizes) > 1):
        shapes = ", ".join(f"'{spec.name}' {spec.shape}" for spec in inputs)
        raise UnsupportedOpError(
            f"inputs {shapes}", 'one "ImageSize" does not tell their sizes', "Export them with one size, free or fixed"
        )
    if isinstance(height, int) and isinstance(width, int):
        default = format_list((width, height))
        rule, test = f"and this net was converted for {default} only", f"size === {default}"
    else:
        multiple, minimum = inputs[0].multiple_of, inputs[0].minimum
        default = format_list(DEFAULT_SIZE)
        multiples = f"multiples of {multiple} and " if multiple > 1 else ""
        rule = f"both {multiples}{minimum} or more"
        test = f"MatchQ[size, {{_Integer, _Integer}}] && AllTrue[size, # >= {minimum} && Divisible[#, {multiple}] &]"
    ports = [_format_port("inputPort", spec) for spec in inputs]
    for spec in outputs:
        if has_size_of(spec, inputs):
            ports.append(_format_port("outputPort", spec))
        else:
            channels = spec.shape[1] if isinstance(spec.shape[1], int) else 0
            ports.append(f"inferredPort[{format_string(spec.name)}, ports, {channels}]")
    return _fill(
        "package.wl",
        {
            "name": format_string(files.name),
            "package": format_string(files.package),
            "weights": format_string(files.weights),
            "check": format_string(files.check),
            "builder": files.builder,
            "usage": format_string(_describe(files, default, rule, inputs, outputs)),
            "size_rule": rule,
            "default_size": default,
            "size_test": test,
            "weight_names": _lines(map(format_string, net.weights)),
            "port_options": _lines(ports),
            "layers": _lines(f"{format_string(name)} -> {layer}" for name, layer in net.layers.items()),
            "connections": _lines(net.connections),
        },
    )


def _format_port(port: str, spec: TensorSpec) -> str:
    return f"{format_string(spec.name)} -> {port}[ports, {spec.shape[1]}, size]"


def has_size_of(output: TensorSpec, inputs: Sequence[TensorSpec]) -> bool:
    """Whether an output is, by the contract, of the inputs' height and width and of known channels."""
    return output.shape[-2:] == inputs[0].shape[-2:] and isinstance(output.shape[1], int)


def format_check(files: WolframFiles, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], gate: float) -> str:
    """The text of the program that runs the golden case on every route.

    Args:
        inputs: Contract.
        outputs: Contract.
        gate: Largest difference that passes, of an output without a known range in units of its largest value.
    """
    return _fill(
        "check.wl",
        {
            "check": format_string(files.check),
            "builder": files.builder,
            "package": format_string(files.package),
            "inputs": _lines(
                f'{format_string(spec.name)} -> readArray[file["{GOLDEN}", {format_string(f"input_{spec.name}.npy")}]]'
                for spec in inputs
            ),
            "names": _lines(format_string(spec.name) for spec in outputs),
            "outputs": _lines(
                f'readArray[file["{GOLDEN}", {format_string(f"output_{spec.name}.npy")}]]' for spec in outputs
            ),
            "relative": ", ".join(str(spec.value_range is None) for spec in outputs),
            "gate": format_real(gate),
            "onnx": format_string(files.onnx),
            "symbol": format_string(files.symbol),
            "params": format_string(files.params),
        },
    )


def _describe(
    files: WolframFiles, default: str, rule: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> str:
    """What `?Build...` says."""
    sentences = [
        f"{files.builder}[] gives the NetGraph of {files.name}.",
        f'"ImageSize" -> {{width, height}} is {default} if it is left out, {rule}.',
        '"Ports" -> "Images", which holds if it is left out, takes and gives images, gray or RGB where a port has 1 or '
        "3 channels, and arrays where it has others; give images of that size: others are resized, masks too.",
        '"Ports" -> "Arrays" takes and gives arrays {channels, height, width} everywhere.',
    ]
    for kind, specs in (("Input", inputs), ("Output", outputs)):
        for spec in specs:
            meaning = f": {spec.meaning}" if spec.meaning else ""
            span = "any" if spec.value_range is None else f"from {spec.value_range[0]:g} to {spec.value_range[1]:g}"
            channels = spec.shape[1] if isinstance(spec.shape[1], int) else "as the net gives"
            sentences.append(f'{kind} "{spec.name}", channels: {channels}, values: {span}{meaning}.')
    return "\n".join(sentences)


def _lines(texts: Iterable[str]) -> str:
    return ",\n".join(f"  {text}" for text in texts)


def _fill(template: str, texts: Mapping[str, str]) -> str:
    """A template with each @placeholder@ replaced; all must be known, and all be there."""
    text = (TEMPLATES / template).read_text(encoding="ascii")
    assert set(PLACEHOLDER.findall(text)) == texts.keys()
    return PLACEHOLDER.sub(lambda found: texts[found[1]], text)
