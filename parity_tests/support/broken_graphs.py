"""ONNX graphs broken on purpose, to prove that the parity gates notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from parity_tests.support.waist import Waist

# Breaks a copy of the waist's graph, in place; the waist itself stays as it is.
Fault = Callable[[ModelProto, Waist], None]


def break_graph(waist: Waist, fault: Fault) -> ModelProto:
    """A copy of the waist's graph with the fault in it."""
    broken = ModelProto()
    broken.CopyFrom(waist.graph)
    fault(broken, waist)
    return broken


def find_first_node(model: ModelProto, op_type: str) -> NodeProto:
    return next(node for node in model.graph.node if node.op_type == op_type)


def replace_attribute(node: NodeProto, name: str, value: Any) -> None:
    """Give an attribute that the node has another value."""
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    assert len(kept) == len(node.attribute) - 1
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def add_constant(model: ModelProto, name: str, value: object) -> str:
    """Add a float32 initializer and return its name."""
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
    return name


def count_channels(model: ModelProto, norm: NodeProto) -> int:
    """Channels that an InstanceNormalization node normalizes: the length of its scale."""
    return next(tensor.dims[0] for tensor in model.graph.initializer if tensor.name == norm.input[1])


def use_wrong_epsilon_on_the_first_norm(model: ModelProto, waist: Waist) -> None:
    replace_attribute(find_first_node(model, "InstanceNormalization"), "epsilon", 1e-3)


def pad_with_zeros_instead_of_reflections(model: ModelProto, waist: Waist) -> None:
    for node in model.graph.node:
        if node.op_type == "Pad":
            replace_attribute(node, "mode", "constant")
