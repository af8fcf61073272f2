"""The configuration of a model in a repository of NVIDIA's Triton server (config.pbtxt), from a contract."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from converters.tensors import Signature, TensorSpec

# The most items that Triton puts into one run, where N is free; ganport's engines are built for as many.
BATCH = 4
ONNX_PLATFORM, ENGINE_PLATFORM, CHAIN_PLATFORM = "onnxruntime_onnx", "tensorrt_plan", "ensemble"
TYPES = {"float16": "FP16", "float32": "FP32", "float64": "FP64"}


def format_config(name: str, platform: str, signature: Signature, steps: Sequence[tuple[str, Signature]] = ()) -> str:
    """The text of config.pbtxt.

    Args:
        name: The model's, and that of its folder.
        platform: One of the three above.
        signature: What it takes and gives.
        steps: Of a chain: each model's name, and what it takes and gives.
    """
    in_batches = all(isinstance(spec.shape[0], str) for spec in (*signature.inputs, *signature.outputs))
    lines = [f"name: {_quote(name)}", f"platform: {_quote(platform)}", f"max_batch_size: {BATCH if in_batches else 0}"]
    for kind, specs in (("input", signature.inputs), ("output", signature.outputs)):
        lines += [f"{kind} {{ {_format_tensor(spec, in_batches)} }}" for spec in specs]
    if steps:
        lines += ["ensemble_scheduling {", *(f"  step {{ {' '.join(_list_fields(*step))} }}" for step in steps), "}"]
    elif in_batches:
        lines.append("dynamic_batching { }")
    return "\n".join(lines) + "\n"


def _format_tensor(spec: TensorSpec, in_batches: bool) -> str:
    sizes = [size if isinstance(size, int) else -1 for size in spec.shape[in_batches:]]
    kind = TYPES.get(spec.dtype, spec.dtype.upper())
    return f"name: {_quote(spec.name)} data_type: TYPE_{kind} dims: [ {', '.join(map(str, sizes))} ]"


def _list_fields(model: str, signature: Signature) -> Iterator[str]:
    """Of a chain's step; every tensor has one name in the whole chain."""
    yield f"model_name: {_quote(model)} model_version: -1"
    for kind, specs in (("input_map", signature.inputs), ("output_map", signature.outputs)):
        for spec in specs:
            yield f"{kind} {{ key: {_quote(spec.name)} value: {_quote(spec.name)} }}"


def _quote(text: str) -> str:
    return json.dumps(text)
