"""Find NHWC tensors that have equal height and width for every size of the input."""

from __future__ import annotations

from onnx import ModelProto

from converters.onnx_graph.nodes import INTERNAL_DOMAIN, read_attributes
from converters.rewrites.internal_ops import TILED


def read_planes(model: ModelProto) -> dict[str, str]:
    """Map each NHWC tensor to the first NHWC tensor that has the same height and width.

    NHWC tensors are those that a TiledConvolution reads or makes, and those computed from them up to a Transpose, a
    Reshape or a product with a matrix on the left, which may give a plane of another size. So may an operator on two
    tensors whose planes are not known to be equal: the smaller one may be repeated.
    """
    planes: dict[str, str] = {}
    resizing = ("Transpose", "Reshape")
    kernels = {tensor.name: tensor.dims[-1] for tensor in model.graph.initializer if tensor.dims}
    for node in model.graph.node:
        (y, *_) = node.output
        if node.domain == INTERNAL_DOMAIN and node.op_type == TILED:
            x, attributes = node.input[0], read_attributes(node)
            planes.setdefault(x, x)
            reach = attributes["dilation"] * (kernels[node.input[1]] - 1)
            keeps_size = (
                attributes["stride"] == 1 and not attributes["transposed"] and reach == 2 * attributes["padding"]
            )
            planes[y] = planes[x] if keeps_size else y
        elif node.op_type not in resizing and not (node.op_type == "MatMul" and node.input[0] not in planes):
            known = {planes[name]: None for name in node.input if name in planes}
            if len(known) == 1 or (known and node.op_type == "Concat"):  # of channels: its planes are equal
                planes[y] = next(iter(known))
            elif known:
                planes[y] = y
    return planes
