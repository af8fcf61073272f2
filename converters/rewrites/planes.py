"""Which tensors with channels last have equal height and width, whatever the input's size."""

from __future__ import annotations

from onnx import ModelProto

from converters.rewrites.internal_ops import DOMAIN, TILED, read_internal_attributes


def read_planes(model: ModelProto) -> dict[str, str]:
    """Each tensor made by, or read by, our channels-last operators, to the first that has its height and width."""
    planes: dict[str, str] = {}
    kernels = {tensor.name: tensor.dims[-1] for tensor in model.graph.initializer if tensor.dims}
    for node in model.graph.node:
        (y, *_) = node.output
        own = node.domain == DOMAIN
        if own and node.op_type == TILED:
            x, attributes = node.input[0], read_internal_attributes(node)
            planes.setdefault(x, x)
            reach = attributes["dilation"] * (kernels[node.input[1]] - 1)
            kept = attributes["stride"] == 1 and not attributes["transposed"] and reach == 2 * attributes["padding"]
            planes[y] = planes[x] if kept else y
        elif node.op_type != "Transpose":
            # Everything else that takes such a tensor as it is works element by element.
            known = [planes[name] for name in node.input if name in planes]
            if known:
                planes[y] = known[0]
    return planes
