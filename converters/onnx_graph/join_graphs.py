"""Join several ONNX graphs into one, and extract a part of a joined graph again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import ModelProto, ValueInfoProto

from converters.onnx_graph.plain_names import rename
from converters.onnx_graph.traversal import list_graphs, tensor_names


@dataclass(frozen=True)
class Part:
    """One graph to join, and the names of its inputs and outputs in the joined graph.

    Attributes:
        name: Every other tensor and every node is called `name/`, followed by its name in `model`.
        model: The graph.
        wires: For each input and output of `model`, the name of that tensor in the joined graph.
    """

    name: str
    model: ModelProto
    wires: Mapping[str, str]


def join_graphs(
    parts: Sequence[Part], inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]
) -> ModelProto:
    """Put the nodes of several graphs of one opset into one graph.

    Args:
        parts: In an order in which every tensor is computed before another part reads it.
        inputs: Inputs of the joined graph.
        outputs: Outputs of the joined graph.
    """
    joined = ModelProto()
    joined.ir_version = max(part.model.ir_version for part in parts)
    joined.opset_import.extend(parts[0].model.opset_import)
    graph = joined.graph
    graph.name = "ganport"
    graph.input.extend(inputs)
    graph.output.extend(outputs)
    for part in parts:
        assert list(part.model.opset_import) == list(joined.opset_import)
        renamed = _rename_all(part)
        graph.node.extend(renamed.node)
        graph.initializer.extend(renamed.initializer)
        graph.value_info.extend(renamed.value_info)  # shape inference cannot find all of it again: ranks behind a loop
    return joined


def take_out(joined: ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> ModelProto:
    """The part of a graph that computes the tensors `outputs` from the tensors `inputs`.

    Each of them is an input or output of the graph, or a tensor that its value_info describes. A loop in that part
    must not read tensors from outside its body: onnx's Extractor overlooks them.
    """
    part: ModelProto = onnx.utils.Extractor(joined).extract_model(list(inputs), list(outputs))
    return part


def _rename_all(part: Part) -> onnx.GraphProto:
    """A copy of the part's graph with the names of the joined graph, in subgraphs too."""
    model = ModelProto()
    model.CopyFrom(part.model)
    names = {name: f"{part.name}/{name}" for name in tensor_names(model.graph)}
    rename(model, {**names, **part.wires})
    for graph in list_graphs(model.graph):
        for node in graph.node:
            node.name = f"{part.name}/{node.name}" if node.name else ""
    return model.graph
