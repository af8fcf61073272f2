"""Strip what other tools left in an ONNX model, and check the model."""

from __future__ import annotations

import onnx
from onnx import ModelProto

from converters.errors import ExportError
from converters.onnx_graph.traversal import list_graphs


def strip_metadata(model: ModelProto) -> ModelProto:
    """A copy without doc strings and metadata_props, in subgraphs too; the main graph is called "ganport".

    The exporter writes stack traces into the metadata. They hold absolute paths, and their order differs from process
    to process.
    """
    stripped = ModelProto()
    stripped.CopyFrom(model)
    del stripped.metadata_props[:]
    stripped.doc_string = ""
    stripped.graph.name = "ganport"
    for graph in list_graphs(stripped.graph):
        del graph.quantization_annotation[:]
        values = [*graph.input, *graph.value_info, *graph.output]
        for message in [graph, *graph.node, *graph.initializer, *values]:
            message.doc_string = ""
            del message.metadata_props[:]
        for node in graph.node:
            for attribute in node.attribute:
                attribute.doc_string = ""
    return stripped


def check(model: ModelProto) -> None:
    """Run onnx's full checker and strict shape inference.

    Raises:
        ExportError: either of them objects.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(
            "onnx.checker", str(error).strip().splitlines()[0].rstrip("."), "Report this with the file"
        ) from error
