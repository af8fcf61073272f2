"""Functions on ONNX graphs treat the branches of an If as they treat the graph around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.message import Message
from onnx import ModelProto

from converters.onnx_graph.clean import strip_metadata
from converters.onnx_graph.plain_names import rename
from converters.rewrites.accurate_norm import rewrite_accurate_norm
from parity_tests.support.command import list_tree, run_ganport
from parity_tests.support.foreign_models import make_model, write_model

IMAGES = "(float[N, 4, H, W] x) => (float[N, 4, H, W] y)"
BRANCHES = """
    n = InstanceNormalization(x, s, b)
    t = ReduceSum<keepdims = 0>(n)
    c = Greater(t, zero)
    y = If(c) <
        then_branch = one () => (float[N, 4, H, W] p) { epsilon = Neg(n) p = Mul(epsilon, w) },
        else_branch = other () => (float[N, 4, H, W] q) { q = Identity(n) }
    >
"""
NOTE = "/home/somebody/net.py"


@pytest.fixture
def model() -> ModelProto:
    """One branch has a tensor called epsilon, and reads a weight of the graph around it."""
    weights = {"s": (4,), "b": (4,), "w": (1, 4, 1, 1), "zero": np.array(0, np.float32)}
    return make_model(18, BRANCHES, weights, IMAGES)


def annotate(message: Any) -> None:
    """Write NOTE into every doc string and metadata list that `message`, or a message inside it, may have."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if isinstance(value, Message) else value:
                annotate(inner)
    if "doc_string" in message.DESCRIPTOR.fields_by_name:
        message.doc_string = NOTE
    if "metadata_props" in message.DESCRIPTOR.fields_by_name:
        message.metadata_props.add(key="trace", value=NOTE)


def test_doc_strings_and_metadata_are_stripped_from_branches_too(model: ModelProto) -> None:
    annotated = ModelProto()
    annotated.CopyFrom(model)
    annotate(annotated)
    assert NOTE in str(annotated.graph.node[-1].attribute[0].g)
    assert NOTE not in str(strip_metadata(annotated))
    assert strip_metadata(annotated) == strip_metadata(model)


def test_no_file_of_a_bundle_tells_what_was_written_into_a_branch(model: ModelProto, tmp_path: Path) -> None:
    annotated = ModelProto()
    annotated.CopyFrom(model)
    annotate(annotated)
    path = write_model(tmp_path, annotated)
    assert NOTE.encode() in path.read_bytes()
    done = run_ganport("convert", path, "--to", "onnx", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    files = {name: data for name, data in list_tree(tmp_path / "out" / "net").items() if data is not None}
    assert len(files) > 5
    assert [name for name, data in files.items() if NOTE.encode() in data] == []


def test_new_constant_of_the_graph_avoids_the_names_inside_branches(model: ModelProto) -> None:
    rewritten = rewrite_accurate_norm(model)
    onnx.checker.check_model(rewritten, full_check=True)  # which refuses one name for two tensors
    assert "epsilon_2" in {tensor.name for tensor in rewritten.graph.initializer}


def test_weight_of_the_graph_is_renamed_where_a_branch_reads_it(model: ModelProto) -> None:
    rename(model, {"w": "epsilon", "n": "normalized"})
    onnx.checker.check_model(model, full_check=True)
    then_branch = model.graph.node[-1].attribute[0].g
    assert [list(node.input) for node in then_branch.node] == [["normalized"], ["epsilon_inner", "epsilon"]]


def test_name_that_makes_room_is_not_one_that_another_tensor_gets() -> None:
    text = '<ir_version: 8, opset_import: ["": 18]> net (float[N] p) => (float[N] y) { q = Relu(p) y = Sigmoid(q) }'
    model = onnx.parser.parse_model(text)
    rename(model, {"p": "y", "q": "y_inner"})
    onnx.checker.check_model(model, full_check=True)
