"""The bytes of an ONNX model."""

from __future__ import annotations

from onnx import ModelProto


def serialize(model: ModelProto) -> bytes:
    """The model's bytes, the same in every process."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data
