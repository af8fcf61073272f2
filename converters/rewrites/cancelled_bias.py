"""A convolution's bias in front of an InstanceNormalization vanishes.

    norm(x + b) = norm(x) for b constant over each plane,

because the plane's mean grows by b and its deviations from the mean stay as they are. Exact but for rounding.
"""

from __future__ import annotations

from onnx import ModelProto

from converters.onnx_graph.builder import names_read


def rewrite_cancelled_bias(model: ModelProto) -> ModelProto:
    """A copy of `model` without the biases of convolutions that only norms read; itself if there are none."""
    rewritten = ModelProto()
    rewritten.CopyFrom(model)
    graph = rewritten.graph
    readers: dict[str, list[str]] = {value.name: ["an output of the model"] for value in graph.output}
    for node in graph.node:
        for index, name in enumerate(names_read(node)):
            kind = node.op_type if index == 0 else "another input"
            readers.setdefault(name, []).append(kind)
    biased = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose") and len(node.input) == 3]
    cancelled = [node for node in biased if set(readers.get(node.output[0], ())) == {"InstanceNormalization"}]
    if not cancelled:
        return model
    for node in cancelled:
        del node.input[2]
    used = {name for node in graph.node for name in names_read(node)} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return rewritten
