"""Translate a simplified ONNX graph into a NetGraph, and format the package and the check program of a bundle."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files

from onnx import ModelProto, numpy_helper

from converters.errors import UnsupportedOpError
from converters.files import GOLDEN
from converters.onnx_graph.nodes import read_nodes, require_float32, require_opset
from converters.onnx_graph.shapes import read_shapes
from converters.onnx_graph.traversal import tensor_names
from converters.targets.wolfram.ops import OPS, Emitter, Net, Value
from converters.targets.wolfram.syntax import format_list, format_real, format_string
from converters.tensors import TensorSpec

TEMPLATES = files("consumers") / "wolfram"
PLACEHOLDER = re.compile(r"@(\w+)@")
# {width, height} of the NetGraph by default, where the model's size is free.
DEFAULT_SIZE = (256, 256)


class WolframFiles:
    """The names that the package and the check program refer to.

    Args:
        name: The bundle's name.

    Attributes:
        name: The bundle's name.
        package: The package, which builds the NetGraph.
        weights: The NetGraph's arrays.
        check: The check program.
        onnx: The file of the target `onnx`, which the check program runs too.
        symbol: The symbol of the target `mxnet`, which the check program runs too.
        params: The params of the target `mxnet`.
        builder: The package's function, such as BuildEdgeconnectEdge for edgeconnect-edge.
        run: Its function from images to an image, such as RunEdgeconnectEdge.
        paclet: What makes the bundle's folder a paclet.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.package = f"{name}.wl"
        self.weights = f"{name}-weights.wxf"
        self.check = f"{name}-check.wl"
        self.onnx = f"{name}.onnx"
        self.symbol = f"{name}-symbol.json"
        self.params = f"{name}-0000.params"
        words = re.findall("[A-Za-z0-9]+", name)
        title = "".join(word[0].upper() + word[1:] for word in words)
        self.builder, self.run = f"Build{title}", f"Run{title}"
        self.paclet = "PacletInfo.wl"


def convert_to_wolfram(model: ModelProto) -> Net:
    """Translate every node of a graph.

    A layer is named after the ONNX tensor it computes, a port after the graph's input or output.

    Args:
        model: float32 graph of opset 18 or earlier; sizes may be free.

    Raises:
        UnsupportedOpError: an input, node or output has no translation. The message names it and the reason.
    """
    opset = require_opset(model)
    shapes = read_shapes(model)
    net = Net(frozenset(tensor_names(model.graph)))
    outputs = {output.name for output in model.graph.output}
    values: dict[str, Value] = {}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        values[tensor.name] = Value(tensor.name, array.shape, array)
    for value_info in model.graph.input:
        if value_info.name in values:  # an input with an initializer is a constant
            continue
        require_float32(value_info)
        name = value_info.name
        shape = shapes.get(name)
        values[name] = Value(name, shape, source=f"NetPort[{format_string(name)}]")
    for node in read_nodes(model):
        # The page "NetGraph" does not say whether a layer may share its name with a port.
        layers = [net.make_name(f"{name}_layer") if name in outputs else name for name in node.outputs]
        inputs = [values[name] if name else None for name in node.inputs]
        results = OPS.convert_all(Emitter(node.where, layers, net), node.op, opset, inputs, node.attributes)
        if len(results) != len(node.outputs):
            raise UnsupportedOpError(node.where, f"it has {len(node.outputs)} outputs", f"Use {len(results)} of them")
        for name, result in zip(node.outputs, results, strict=True):
            values[name] = Value(name, shapes.get(name), source=result.source)
    for name in outputs:
        source = values[name].source
        if source is None or source.startswith("NetPort"):
            raise UnsupportedOpError(f"output '{name}'", "no node gives it", "Check the model")
    net.connections.extend(
        f"{values[output.name].source} -> NetPort[{format_string(output.name)}]" for output in model.graph.output
    )
    return net


def format_package(files: WolframFiles, net: Net, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """Format the package, which builds the NetGraph.

    Args:
        files: Names of the package and of the files it refers to.
        net: The NetGraph.
        inputs: The model's inputs.
        outputs: The model's outputs. The kernel infers the port of an output whose height or width differs from the
            inputs', or whose number of channels is free.

    Raises:
        UnsupportedOpError: one option "ImageSize" cannot give all input sizes.
    """
    default, rule, test = _format_size_rule(inputs)
    ports = [_format_port("inputPort", spec) for spec in inputs]
    for spec in outputs:
        if spec.shape[-2:] == inputs[0].shape[-2:] and isinstance(spec.shape[1], int):
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
            "usage": format_string(_format_usage(files, default, rule, inputs, outputs)),
            "size_rule": rule,
            "default_size": default,
            "size_test": test,
            "version": f"{net.version:g}",
            "run": files.run,
            "run_usage": format_string(_format_run_usage(files, inputs, outputs)),
            "input_ports": ", ".join(map(_format_images, inputs)),
            "output_ports": ", ".join(map(_format_images, outputs)),
            "size_words": format_string(rule),
            "round_up": f"Max[{inputs[0].minimum}, {inputs[0].multiple_of} Ceiling[side/{inputs[0].multiple_of}]]",
            "onnx": format_string(files.onnx),
            "weight_names": _lines(map(format_string, net.weights)),
            "port_options": _lines(ports),
            "layers": _lines(f"{format_string(name)} -> {layer}" for name, layer in net.layers.items()),
            "connections": _lines(net.connections),
        },
    )


def format_paclet(files: WolframFiles, net: Net) -> str:
    """Format PacletInfo.wl, with which PacletInstall and Needs find the package."""
    return _fill(
        "PacletInfo.wl",
        {
            "paclet": format_string(f"Ganport{files.builder}"),
            "name": format_string(f"The net {files.name} as a NetGraph, written by ganport."),
            "version": format_string(f"{net.version:g}+"),
            "context": format_string(f"Ganport`{files.builder}`"),
            "package": format_string(files.package),
        },
    )


def _format_images(spec: TensorSpec) -> str:
    """{name, channels}, 0 for a number of channels that is not known."""
    channels = spec.shape[1] if len(spec.shape) > 1 and isinstance(spec.shape[1], int) else 0
    return f"{{{format_string(spec.name)}, {channels}}}"


def _format_run_usage(files: WolframFiles, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """The usage message of the function from images to an image."""
    names = [spec.name for spec in inputs]
    return "\n".join(
        [
            f"{files.run}[{', '.join(names)}] gives the image {outputs[0].name} of {files.name}, of their size.",
            "All images have one size; sides that the net does not take are filled up by reflection, then cut off.",
            *(["The mask is 1, white, in the hole; its values are taken for 0 or 1."] if "mask" in names else []),
            '"Route" -> Automatic runs the ONNX file as a NetExternalObject where the version has that, else the '
            'NetGraph; "ONNX" and "NetGraph" want one of them.',
        ]
    )


def _format_size_rule(inputs: Sequence[TensorSpec]) -> tuple[str, str, str]:
    """The values that the option "ImageSize" may have.

    Returns:
        The default as a list literal {width, height}; the rule in words, for messages; the rule as an expression that
        tests the variable `size`.

    Raises:
        UnsupportedOpError: the inputs have several fixed sizes, fixed and free ones, or one fixed side and one free.
    """
    height, width = inputs[0].shape[-2:]
    sizes = {spec.shape[-2:] for spec in inputs}
    fixed = {isinstance(side, int) for size in sizes for side in size}
    if len(fixed) > 1 or (fixed == {True} and len(sizes) > 1):
        shapes = ", ".join(f"'{spec.name}' {spec.shape}" for spec in inputs)
        raise UnsupportedOpError(
            f"inputs {shapes}", 'one "ImageSize" does not tell their sizes', "Export them with one size, free or fixed"
        )
    if isinstance(height, int) and isinstance(width, int):
        default = format_list((width, height))
        return default, f"and this net was converted for {default} only", f"size === {default}"
    multiple, minimum = inputs[0].multiple_of, inputs[0].minimum
    multiples = f"multiples of {multiple} and " if multiple > 1 else ""
    test = f"MatchQ[size, {{_Integer, _Integer}}] && AllTrue[size, # >= {minimum} && Divisible[#, {multiple}] &]"
    return format_list(DEFAULT_SIZE), f"both {multiples}{minimum} or more", test


def _format_port(function: str, spec: TensorSpec) -> str:
    return f"{format_string(spec.name)} -> {function}[ports, {spec.shape[1]}, size]"


def format_check(files: WolframFiles, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], gate: float) -> str:
    """Format the check program, which runs the golden case through the NetGraph, the ONNX file and the MXNet pair.

    Args:
        files: Names of the check program and of the files it refers to.
        inputs: The model's inputs.
        outputs: The model's outputs.
        gate: Largest absolute difference that passes. Where an output's value range is not known, the difference is
            first divided by the expected output's largest magnitude, which counts as 0.05 at least.
    """
    return _fill(
        "check.wl",
        {
            "check": format_string(files.check),
            "name": format_string(files.name),
            "builder": files.builder,
            "package": format_string(files.package),
            "inputs": _lines(f"{format_string(spec.name)} -> {_read_golden('input', spec)}" for spec in inputs),
            "names": _lines(format_string(spec.name) for spec in outputs),
            "outputs": _lines(_read_golden("output", spec) for spec in outputs),
            "relative": ", ".join(str(spec.value_range is None) for spec in outputs),
            "gate": format_real(gate),
            "onnx": format_string(files.onnx),
            "symbol": format_string(files.symbol),
            "params": format_string(files.params),
        },
    )


def _read_golden(kind: str, spec: TensorSpec) -> str:
    """The expression that reads the golden case's array of one input or output."""
    return f'readArray[file["{GOLDEN}", {format_string(f"{kind}_{spec.name}.npy")}]]'


def _format_usage(
    files: WolframFiles, default: str, rule: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> str:
    """The usage message of the package's function, which Mathematica prints for `?Build...`.

    Args:
        files: Names of the bundle and of the function.
        default: Default of "ImageSize".
        rule: The sizes that "ImageSize" may have, in words.
        inputs: The model's inputs.
        outputs: The model's outputs.
    """
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
    """Replace each @placeholder@ of a template; `texts` must hold exactly the template's placeholders."""
    text = (TEMPLATES / template).read_text(encoding="ascii")
    assert set(PLACEHOLDER.findall(text)) == texts.keys()
    return PLACEHOLDER.sub(lambda match: texts[match[1]], text)
