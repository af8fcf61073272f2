"""What a row of the tables of MXNet op cases is: one ONNX node, with the inputs it runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

Shape = tuple[int, ...]
Constant = NDArray[Any]
NODE = "the_node"
# The oldest IR that opset 18 goes with.
IR_VERSION = 8
OPSET = 18

# Nothing is rounded but the result itself, in both runtimes alike.
EXACT = 0.0
# Both runtimes approximate exp and tanh to a few units in the last place of values up to 1.
TRANSCENDENTAL = 5e-7
# Sums of up to 60 products of magnitude 1, added in another order, up to 33 in size: 2.9e-6 was measured.
CONVOLVED = 1e-5
# Statistics added in another order, results up to 6 in size: 7.2e-7 was measured.
NORMALIZED = 3e-6


@dataclass(frozen=True)
class GraphInput:
    """A graph input that is not plain noise in float32: numbers from `low` to `high`, whole ones for whole types."""

    shape: Shape
    dtype: str = "float32"
    low: float = -3
    high: float = 3

    def make(self, seed: int) -> NDArray[Any]:
        random = np.random.default_rng(seed)
        if np.dtype(self.dtype).kind == "f":
            return random.uniform(self.low, self.high, self.shape).astype(self.dtype)
        return random.integers(int(self.low), int(self.high), self.shape, endpoint=True).astype(self.dtype)


@dataclass(frozen=True)
class OpCase:
    """One node.

    Attributes:
        op: ONNX operator.
        id: What the row is about.
        inputs: The node's inputs in order: a shape for a graph input of noise in float32, a `GraphInput` for another,
            an array for a constant, None for one left out.
        attributes: The node's.
        tolerance: Largest absolute difference between ONNX Runtime and MXNet.
        opset: The model's.
        outputs: How many outputs the node has.
    """

    op: str
    id: str
    inputs: Sequence[Shape | GraphInput | Constant | None]
    attributes: Mapping[str, object] = field(default_factory=dict)
    tolerance: float = EXACT
    opset: int = OPSET
    outputs: int = 1
    domain: str = ""

    def __str__(self) -> str:
        return f"{self.op}: {self.id}"


def floats(*shape: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def number(value: float) -> NDArray[np.float32]:
    return np.array(value, np.float32)


PLANE = (2, 4, 9, 12)


def build_model(case: OpCase, free: bool = False) -> ModelProto:
    """The ONNX model of one node; graph inputs are in0, in1..., outputs out0, out1...

    Args:
        free: Whether the graph inputs' sizes are free: those of one size have one name, 1 stays.
    """
    names = ["" if given is None else f"in{i}" for i, given in enumerate(case.inputs)]
    outputs = [f"out{i}" for i in range(case.outputs)]
    node = helper.make_node(case.op, names, outputs, name=NODE, domain=case.domain, **case.attributes)
    graph = helper.make_graph(
        [node],
        "case",
        [
            helper.make_tensor_value_info(name, _elem_type(given), _free(_shape(given)) if free else _shape(given))
            for name, given in zip(names, case.inputs, strict=True)
            if isinstance(given, tuple | GraphInput)
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [
            numpy_helper.from_array(given, name)
            for name, given in zip(names, case.inputs, strict=True)
            if isinstance(given, np.ndarray)
        ],
    )
    opsets = [helper.make_opsetid("", case.opset)]
    if case.domain:
        opsets.append(helper.make_opsetid(case.domain, 1))
    model = onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION))
    for output in model.graph.output:
        if not output.type.WhichOneof("value"):  # a node that inference does not know
            output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, None))
    return model


def make_feeds(case: OpCase) -> dict[str, NDArray[Any]]:
    """Seeded noise for each graph input."""
    return {
        f"in{i}": given.make(100 + i) if isinstance(given, GraphInput) else floats(*given, seed=100 + i)
        for i, given in enumerate(case.inputs)
        if isinstance(given, tuple | GraphInput)
    }


def _shape(given: Shape | GraphInput) -> Shape:
    return given.shape if isinstance(given, GraphInput) else given


def _elem_type(given: Shape | GraphInput) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(given.dtype if isinstance(given, GraphInput) else "float32"))


def _free(shape: Shape) -> list[int | str]:
    return [f"of_{size}" if size > 1 else size for size in shape]
