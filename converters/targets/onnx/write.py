"""Make the ONNX model that ships: the waist with accurate norms, and its contract in the metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
from onnx import ModelProto, helper

from converters.onnx_graph.clean import check, strip_metadata
from converters.rewrites.accurate_norm import rewrite_accurate_norm
from converters.tensors import CONTRACT_KEY, Signature

# The metadata key `ganport.tuning` of a tuned file: what was chosen for each convolution, as JSON.
TUNING_FACT = "tuning"
# The oldest IR version that allows opset 18, so that runtimes of 2023 read the file.
IR_VERSION = 8


def convert_to_onnx(waist: ModelProto, signature: Signature, facts: Mapping[str, str]) -> ModelProto:
    """Make the model to write as NAME.onnx.

    Args:
        waist: The simplified graph, or that graph tuned for a CPU.
        signature: The model's inputs and outputs, which go into the metadata.
        facts: Further entries for the metadata; `ganport.` is put before each key.

    Raises:
        ExportError: onnx's checker refuses the result.
    """
    model = strip_metadata(rewrite_accurate_norm(waist))
    model.ir_version = IR_VERSION
    del model.graph.value_info[:]  # runtimes infer it, and other tools' readers stumble over it
    model.producer_name = "ganport"
    model.producer_version = ""
    helper.set_model_props(
        model,
        {
            CONTRACT_KEY: json.dumps(msgspec.to_builtins(signature), sort_keys=True),
            **{f"ganport.{key}": value for key, value in sorted(facts.items())},
        },
    )
    check(model)
    return model
