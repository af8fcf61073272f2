"""List facts about a checkpoint, an ONNX file or a bundle, as JSON types and as lines of text.

What a file says of itself (its metadata, its manifest) stands apart, under CLAIMS: nobody checked it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from converters.bundle.checksums import MANIFEST
from converters.bundle.folder import read_bundle
from converters.errors import BundleError, CheckpointError
from reference.checkpoint import SUFFIXES, read_checkpoint

ONNX_SUFFIX = ".onnx"
CLAIMS = "claims"
NAME_A_KNOWN_KIND = f"Name a checkpoint ({', '.join(SUFFIXES)}), an ONNX file ({ONNX_SUFFIX}) or a bundle's folder"


def inspect_file(path: Path) -> dict[str, Any]:
    """Facts about a checkpoint, an ONNX file or a bundle's folder, as JSON types.

    Raises:
        GanportError: `path` is none of the three, or cannot be read.
    """
    try:
        is_bundle, is_folder, exists = (path / MANIFEST).is_file(), path.is_dir(), path.exists()
    except OSError as error:
        raise CheckpointError(path, f"it cannot be read ({error.strerror})", "Check path and permissions") from error
    if is_bundle:
        return {"kind": "bundle", CLAIMS: msgspec.json.decode(msgspec.json.encode(read_bundle(path).manifest))}
    if is_folder:
        raise CheckpointError(path, f"it is a folder without a {MANIFEST}", NAME_A_KNOWN_KIND)
    if exists and path.suffix not in (*SUFFIXES, ONNX_SUFFIX):
        raise CheckpointError(path, f"its suffix is '{path.suffix}'", NAME_A_KNOWN_KIND)
    if path.suffix == ONNX_SUFFIX:
        return _inspect_onnx(path)
    return _inspect_checkpoint(path)


def _inspect_onnx(path: Path) -> dict[str, Any]:
    from converters.sources.onnx_file import list_inputs, parse_onnx
    from converters.targets.onnx.write import TUNING_FACT

    model, data = parse_onnx(path)

    def read_shape(value: Any) -> list[int | str]:
        return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]

    metadata = {entry.key: entry.value for entry in model.metadata_props}
    tuning = metadata.pop(f"ganport.{TUNING_FACT}", None)
    return {
        "kind": "onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "ir_version": model.ir_version,
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "inputs": {value.name: read_shape(value) for value in list_inputs(model)},
        "outputs": {value.name: read_shape(value) for value in model.graph.output},
        "nodes": dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
        "parameters": sum(math.prod(tensor.dims) for tensor in model.graph.initializer),
        CLAIMS: {"producer": model.producer_name, "metadata": metadata, "tuning": _read_tuning(path, tuning)},
    }


def _read_tuning(path: Path, text: str | None) -> dict[str, Any]:
    """The facts that `convert --tune` recorded in the metadata; no facts if the file was not tuned.

    Args:
        path: The ONNX file, for the error message.
        text: The value of the metadata key, or None if the file lacks the key.

    Raises:
        BundleError: `text` is not a JSON object.
    """
    try:
        tuning: Any = json.loads(text or "{}")
    except (ValueError, RecursionError):
        tuning = None
    if not isinstance(tuning, dict):
        raise BundleError(path, "what it says of its tuning is damaged", "Convert its source again")
    return tuning


def _inspect_checkpoint(path: Path) -> dict[str, Any]:
    from reference.registry import identify_model

    checkpoint = read_checkpoint(path)
    model = identify_model([checkpoint]).build()
    return {
        "kind": "checkpoint",
        "format": checkpoint.format,
        "sha256": checkpoint.sha256,
        "architecture": model.architecture,
        "hyperparameters": dict(model.hyperparameters),
        "inputs": list(msgspec.to_builtins(model.inputs)),
        "outputs": list(msgspec.to_builtins(model.outputs)),
        "tensors": len(checkpoint.tensors),
        "parameters": sum(parameter.numel() for parameter in model.module.parameters()),
        CLAIMS: {"settings": {key: str(value) for key, value in checkpoint.settings.items()}},
    }


def format_facts(facts: Mapping[str, Any]) -> Iterator[str]:
    """Format facts as lines of text, one fact per line.

    A list or object that holds objects takes several lines: its name, then its elements, indented.
    """
    for key, value in facts.items():
        if key != CLAIMS:
            yield from _format_fact(f"{key}:", value)
    yield f"{CLAIMS} (what it says of itself; nothing of it was checked):"
    for key, value in facts[CLAIMS].items():
        yield from (f"  {line}" for line in _format_fact(f"{key}:", value))


def _format_fact(label: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and any(map(_is_nested, value.values())):
        yield label
        inner_facts: Iterable[tuple[str, Any]] = ((f"{key}:", inner) for key, inner in value.items())
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        yield label
        inner_facts = (("-", inner) for inner in value)
    else:
        yield f"{label} {value if isinstance(value, str | int) else json.dumps(value)}"
        return
    for inner_label, inner in inner_facts:
        for line in _format_fact(inner_label, inner):
            yield f"  {line}"


def _is_nested(value: Any) -> bool:
    """Whether a JSON value is an object, or a list that holds an object."""
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(item, Mapping) for item in value))
