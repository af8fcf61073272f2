"""What is inside a checkpoint, an ONNX file or a bundle, as plain JSON types."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from converters.bundle import MANIFEST, hash_file, read_bundle
from converters.checkpoint import read_checkpoint
from converters.errors import BundleError
from converters.targets import TUNING_FACT


def inspect_file(path: Path) -> dict[str, Any]:
    """Facts about `path`.

    Raises:
        GanportError: it cannot be read as any of the three.
    """
    if (path / MANIFEST).is_file():
        return {"kind": "bundle", **read_bundle(path).manifest}
    if path.suffix == ".onnx":
        return _inspect_onnx(path)
    return _inspect_checkpoint(path)


def _inspect_onnx(path: Path) -> dict[str, Any]:
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise BundleError(path, "there is no such file", "Check the path")
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise BundleError(path, "it is no ONNX model", "Convert it again") from error
    if not model.ir_version or not model.graph.node:
        raise BundleError(path, "it is no ONNX model, or an empty one", "Convert it again")

    def shape(value: onnx.ValueInfoProto) -> list[int | str]:
        return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]

    metadata = {entry.key: entry.value for entry in model.metadata_props}
    tuning = metadata.pop(f"ganport.{TUNING_FACT}", None)
    return {
        "kind": "onnx",
        "sha256": hash_file(path),
        "ir_version": model.ir_version,
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "producer": model.producer_name,
        "inputs": {value.name: shape(value) for value in model.graph.input},
        "outputs": {value.name: shape(value) for value in model.graph.output},
        "nodes": dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
        "parameters": sum(_count(tensor) for tensor in model.graph.initializer),
        "metadata": metadata,
        **({} if tuning is None else json.loads(tuning)),
    }


def _inspect_checkpoint(path: Path) -> dict[str, Any]:
    from reference import identify

    checkpoint = read_checkpoint(path)
    model = identify(checkpoint).build(checkpoint)
    return {
        "kind": "checkpoint",
        "format": checkpoint.format,
        "sha256": checkpoint.sha256,
        "settings": {key: str(value) for key, value in checkpoint.settings.items()},
        "architecture": model.architecture,
        "hyperparameters": dict(model.hyperparameters),
        "inputs": [spec.to_json() for spec in model.inputs],
        "outputs": [spec.to_json() for spec in model.outputs],
        "tensors": len(checkpoint.tensors),
        "parameters": sum(parameter.numel() for parameter in model.module.parameters()),
    }


def _count(tensor: Any) -> int:
    count = 1
    for dim in tensor.dims:
        count *= dim
    return count
