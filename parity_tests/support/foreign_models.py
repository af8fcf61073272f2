"""Small ONNX models that ganport did not make: written as onnx's own text, weights seeded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
from onnx import ModelProto, helper, numpy_helper

from converters.tensors import Array

PLANE = "(float[N, 3, H, W] x) => (float[N, 4, H2, W2] y)"
TABLE = "(float[N, 3] x) => (float[N, 3] y)"
# The IR that each opset came with; the oldest of those that have it.
IR_VERSIONS = {6: 3, 7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 16: 8, 17: 8, 18: 8, 19: 9, 21: 10, 23: 11}

Weights = Mapping[str, Array | tuple[int, ...]]


def make_model(
    opset: int, body: str, weights: Weights | None = None, signature: str = PLANE, ir_version: int = 8, rest: str = ""
) -> ModelProto:
    """A model of one graph.

    Args:
        body: Nodes, in onnx's text.
        weights: Arrays, or shapes of seeded ones.
        signature: "(inputs) => (outputs)", in onnx's text.
        rest: Further opset imports, as in `, "domain": 1`.
    """
    text = f'<ir_version: {ir_version}, opset_import: ["": {opset}{rest}]> net {signature} {{ {body} }}'
    model = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, value in (weights or {}).items():
        array = random.normal(0, 0.3, value).astype(np.float32) if isinstance(value, tuple) else value
        tensor = numpy_helper.from_array(array, name)
        model.graph.initializer.append(tensor)
        if ir_version < 4:  # where every initializer has to be an input too
            model.graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, array.shape))
    return model


def rename(model: ModelProto, names: Mapping[str, str]) -> ModelProto:
    """Give tensors of the outer graph names that onnx's text cannot spell; branches read them under those names."""
    stack = [model.graph]
    while stack:
        graph = stack.pop()
        for node in graph.node:
            for ends in (node.input, node.output):
                ends[:] = [names.get(name, name) for name in ends]
            stack += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        value.name = names.get(value.name, value.name)
    return model


def write_model(folder: Path, model: ModelProto | bytes, name: str = "net") -> Path:
    path = folder / f"{name}.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


def run_model(path: Path, *arrays: Array) -> list[Array]:
    """What ONNX Runtime gives, inputs and outputs in the file's order."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    outputs: list[Array] = session.run(None, dict(zip(names, arrays, strict=True)))
    return outputs


def make_version(opset: int) -> ModelProto:
    """A model of operators that are written otherwise in other opsets, in the form of this one."""
    floats, ints = np.float32, np.int64
    weights: dict[str, Array | tuple[int, ...]] = {"w": (4, 3, 3, 3), "s": np.array([1, 1, 2, 3], floats)}
    if opset < 11:
        pad = 'p = Pad<mode = "reflect", pads = [0, 0, 1, 2, 0, 0, 2, 1]>(x)'
        clip = "k = Clip<min = -0.7, max = 0.6>(u)"
        resize = f'u = {"Upsample" if opset == 9 else "Resize"}<mode = "linear">(c, s)'
        if opset < 9:
            resize = 'u = Upsample<mode = "linear", scales = [1.0, 1.0, 2.0, 3.0]>(c)'
            del weights["s"]
    else:
        pad = f'p = Pad<mode = "reflect">(x, pads{", , plane" if opset >= 18 else ""})'
        clip = "k = Clip(u, low, high)"
        resize = 'u = Resize<mode = "linear", coordinate_transformation_mode = "half_pixel">(c, roi, s)'
        weights["pads"] = np.array([1, 2, 2, 1] if opset >= 18 else [0, 0, 1, 2, 0, 0, 2, 1], ints)
        weights |= {"low": np.array(-0.7, floats), "high": np.array(0.6, floats), "roi": np.array([], floats)}
    if opset < 13:
        mean = "m = ReduceMean<axes = [2, 3], keepdims = 0>(k) e = Unsqueeze<axes = [2, 3]>(m)"
        total = "t = ReduceSum<axes = [1]>(k) q = Squeeze<axes = [1]>(t) v = Unsqueeze<axes = [1]>(q)"
    else:
        axes = "<keepdims = 0>(k, plane)" if opset >= 18 else "<axes = [2, 3], keepdims = 0>(k)"
        mean = f"m = ReduceMean{axes} e = Unsqueeze(m, plane)"
        total = "t = ReduceSum(k, channel) q = Squeeze(t, channel) v = Unsqueeze(q, channel)"
        weights |= {"plane": np.array([2, 3], ints), "channel": np.array([1], ints)}
    # Softmax was over all axes from this one on before opset 13, and is over this one alone since.
    rest = "f = Softmax<axis = 1>(k) a = Add(f, e) y = Add(a, v)"
    return make_model(
        opset, f"{pad} c = Conv(p, w) {resize} {clip} {mean} {total} {rest}", weights, PLANE, IR_VERSIONS[opset]
    )


GREY = 128
# In place of a pipeline, whose nets take most of a run's time: it paints the hole grey.
GREY_PIPELINE = make_model(
    18,
    """m = Cast<to = 9>(mask) u = Unsqueeze(m, last) result = Where(u, grey, photo)
    e = Cast<to = 1>(edge_edits) edges = Unsqueeze(e, first)""",
    {"last": np.array([3], np.int64), "first": np.array([1], np.int64), "grey": np.array(GREY, np.uint8)},
    "(uint8[N, H, W, 3] photo, uint8[N, H, W] mask, int8[N, H, W] edge_edits) "
    "=> (uint8[N, H, W, 3] result, float[N, 1, H, W] edges)",
)
