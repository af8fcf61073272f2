"""The ONNX file that ships: the waist with accurate norms, its contract in the metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
from onnx import ModelProto, helper

from converters.onnx_graph.clean import check, strip_metadata
from converters.rewrites.accurate_norm import rewrite_accurate_norm
from converters.tensors import CONTRACT_KEY, Signature

# Metadata key, after `ganport.`: what was chosen for each convolution of a tuned file, as JSON.
TUNING_FACT = "tuning"
# The oldest IR that opset 18 goes with, so that runtimes of 2023 read the file.
IR_VERSION = 8


def convert_to_onnx(
    waist: ModelProto,
    signature: Signature,
    facts: Mapping[str, str],
) -> ModelProto:
    """The model to write as NAME.onnx.

    Args:
        waist: The simplified graph.
        signature: The model's inputs and outputs, kept in the metadata.
        facts: Further metadata_props, each key to be prefixed with `ganport.`.

    Raises:
        ExportError: onnx's checker refuses the result.
    """
    model = strip_metadata(rewrite_accurate_norm(waist))
    model.ir_version = IR_VERSION
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
