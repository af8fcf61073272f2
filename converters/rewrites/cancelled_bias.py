"""A convolution's bias vanishes if an InstanceNormalization follows.

    norm(x + b) = norm(x) for b constant over each plane,

because the plane's mean grows by b, so that the deviations from the mean do not change. Exact except for rounding.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from converters.onnx_graph.builder import drop_unused_initializers
from converters.onnx_graph.traversal import find_readers


def rewrite_cancelled_bias(model: ModelProto) -> ModelProto:
    """A copy of `model` without the biases of convolutions that only norms read, or `model` itself if none is."""
    rewritten = ModelProto()
    rewritten.CopyFrom(model)
    graph = rewritten.graph
    readers = find_readers(graph)
    cancelled = [
        node
        for node in graph.node
        if node.op_type in ("Conv", "ConvTranspose")
        and len(node.input) == 3
        and node.output[0] in readers
        and all(_normalizes(reader, node.output[0]) for reader in readers[node.output[0]])
    ]
    if not cancelled:
        return model
    for node in cancelled:
        del node.input[2]
    drop_unused_initializers(graph)
    return rewritten


def _normalizes(reader: NodeProto | None, tensor: str) -> bool:
    """Whether `reader` is a norm of `tensor`, and does not take it as scale or bias too."""
    return reader is not None and reader.op_type == "InstanceNormalization" and tensor not in reader.input[1:]
