"""The section of a bundle's README on the engine, or on the chain of engines."""

from __future__ import annotations

from converters.targets.target import Artifact
from converters.text import format_code_span


def format_readme(artifact: Artifact) -> str:
    """Which files there are, and what built them."""
    package = next(iter(artifact.versions))
    built = f"built by {package} {artifact.versions[package]}, TF32 off. {artifact.details['note']}"
    if len(artifact.files) == 1:
        return f"""## Run the TensorRT engine

{format_code_span(artifact.files[0])} was {built}
Tensor names are the contract's; deserialize it with the runtime of the same package and version.
"""
    links = ", ".join(map(format_code_span, artifact.files[1:]))
    return f"""## Run the TensorRT chain

The nets are engines, {built}
TensorRT has no float64, which Canny needs: what is around the nets runs in ONNX Runtime. One after another:
{links}; {format_code_span(artifact.files[0])} says which of the others' tensors each takes and gives.
"""
