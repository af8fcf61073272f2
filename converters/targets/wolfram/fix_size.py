"""Translate a graph for any size, or where its layers depend on the size, for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnx import ModelProto

from converters.errors import UnsupportedOpError
from converters.onnx_graph.simplify import simplify
from converters.parity.inputs import GOLDEN_SIZE
from converters.targets.wolfram.ops import Net
from converters.targets.wolfram.ops.registry import RANK
from converters.targets.wolfram.write import convert_to_wolfram
from converters.tensors import Signature, TensorSpec, fit_size


@dataclass(frozen=True)
class SizedNet:
    """A translated graph.

    Attributes:
        net: The NetGraph's layers.
        signature: Inputs and outputs, of one size if the layers are.
        size: (H, W) if the layers were made for one size because they depend on it; None if any size fits, or the graph
            had one size only.
    """

    net: Net
    signature: Signature
    size: tuple[int, int] | None = None


def translate(model: ModelProto, signature: Signature) -> SizedNet:
    """Translate a graph; one whose layers depend on its free size is folded at the golden case's size.

    Raises:
        UnsupportedOpError: an input, node or output has no translation at any size.
    """
    for spec in signature.inputs:
        if len(spec.shape) != RANK or not isinstance(spec.shape[1], int):
            met = f"its shape is {spec.shape}"
            raise UnsupportedOpError(f"input '{spec.name}'", met, "Only planes (NCHW) of known channels are translated")
    try:
        return SizedNet(convert_to_wolfram(model), signature)
    except UnsupportedOpError:
        if not any(isinstance(axis, str) for spec in signature.inputs for axis in spec.shape[2:]):
            raise
    size = fit_size(signature.inputs, GOLDEN_SIZE)
    fixed = Signature(
        *(
            tuple(_fix(spec, signature.inputs, size) for spec in specs)
            for specs in (signature.inputs, signature.outputs)
        )
    )
    return SizedNet(convert_to_wolfram(fold_sizes(model, fixed)), fixed, size)


def fold_sizes(model: ModelProto, signature: Signature) -> ModelProto:
    """The graph with these shapes of its inputs, and what it computes from them folded."""
    folded = ModelProto()
    folded.CopyFrom(model)
    del folded.graph.value_info[:]
    shapes = {spec.name: spec.shape for spec in (*signature.inputs, *signature.outputs)}
    for value in (*folded.graph.input, *folded.graph.output):
        value.type.tensor_type.ClearField("shape")
        for axis in shapes[value.name]:
            size = value.type.tensor_type.shape.dim.add()
            if isinstance(axis, int):
                size.dim_value = axis
            else:
                size.dim_param = axis
    return simplify(folded)


def _fix(spec: TensorSpec, inputs: Sequence[TensorSpec], size: tuple[int, int]) -> TensorSpec:
    """The spec with one item, and (H, W) where the first input has its height and width."""
    sizes = dict(zip(inputs[0].shape[2:], size, strict=True))
    shape = tuple(
        1 if not axis and isinstance(name, str) else sizes.get(name, name) if isinstance(name, str) else name
        for axis, name in enumerate(spec.shape)
    )
    return replace(spec, shape=shape)
