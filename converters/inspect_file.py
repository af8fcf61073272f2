"""What is inside a checkpoint, an ONNX file or a bundle, as plain JSON types."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from converters.bundle import MANIFEST, read_bundle
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
    from converters.onnx_file import parse_onnx

    model, data = parse_onnx(path)

    def shape(value: Any) -> list[int | str]:
        return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]

    metadata = {entry.key: entry.value for entry in model.metadata_props}
    tuning = metadata.pop(f"ganport.{TUNING_FACT}", None)
    return {
        "kind": "onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "ir_version": model.ir_version,
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "producer": model.producer_name,
        "inputs": {value.name: shape(value) for value in model.graph.input},
        "outputs": {value.name: shape(value) for value in model.graph.output},
        "nodes": dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
        "parameters": sum(_count(tensor) for tensor in model.graph.initializer),
        "metadata": metadata,
        **_read_tuning(path, tuning),
    }


def _read_tuning(path: Path, text: str | None) -> dict[str, Any]:
    """What `convert --tune` says of its convolutions, nothing where it was not asked for."""
    try:
        tuning: Any = json.loads(text or "{}")
    except ValueError:
        tuning = None
    if not isinstance(tuning, dict):
        raise BundleError(path, "what it says of its tuning is damaged", "Convert its source again")
    return tuning


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
