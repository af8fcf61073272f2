"""The section of a bundle's README on the engine, or on the chain of engines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from converters.files import GOLDEN
from converters.targets.target import Artifact
from converters.tensors import Signature
from converters.text import format_code_span, format_literal

# The import of each package's Python module; tensorrt-rtx has two distributions, whose modules differ in name.
IMPORTS = {
    "tensorrt": "import tensorrt as trt",
    "tensorrt-rtx": """try:
    import tensorrt_rtx as trt
except ImportError:
    import tensorrt_rtx_bindings as trt""",
}
DISTRIBUTIONS = {
    "tensorrt": "`tensorrt=={version}`",
    "tensorrt-rtx": "`tensorrt-rtx-cu13-bindings=={version}` and `tensorrt-rtx-cu13-libs=={version}`",
}


def format_readme(artifact: Artifact, signature: Signature) -> str:
    """Which files there are, what built them, which sizes they take, and how to run the golden case on one engine.

    Args:
        artifact: The engine, or the chain's file and its links' files.
        signature: The model's inputs and outputs.
    """
    package = next(iter(artifact.versions))
    version = artifact.versions[package]
    built = f"built by {package} {version}, TF32 off. {artifact.details['note']}"
    if len(artifact.files) == 1:
        return f"""## Run the TensorRT engine

{format_code_span(artifact.files[0])} was {built}
Tensor names are the contract's. {_format_profile(artifact.details)}
Needs an NVIDIA GPU, {DISTRIBUTIONS[package].format(version=version)}, `cuda-bindings` and `numpy`.

{_format_code(artifact, signature, IMPORTS[package])}
Where ganport is installed, `ganport.read_bundle(".").open("trt")` runs it too.
"""
    links = ", ".join(map(format_code_span, artifact.files[1:]))
    engines = [details for file, details in artifact.details.items() if file in artifact.files]
    return f"""## Run the TensorRT chain

The nets are engines, {built}
{_format_profile(engines[0])} TensorRT has no float64, which Canny needs: what is around the nets runs in ONNX Runtime.
One after another: {links}.
{format_code_span(artifact.files[0])} says which of the others' tensors each takes and gives.
Where ganport is installed, `ganport.read_bundle(".").open("trt")` runs the chain.
"""


def _format_profile(details: Mapping[str, Any]) -> str:
    profile = details["profile"]
    if profile is None:
        return "It takes the contract's size alone."
    (n, height, width), _, (most, highest, widest) = (profile[key] for key in ("minimum", "optimum", "maximum"))
    _, best_height, best_width = profile["optimum"]
    return (
        f"It takes N from {n} to {most} and HxW from {height}x{width} to {highest}x{widest}, "
        f"and is tuned for {best_height}x{best_width}."
    )


def _format_code(artifact: Artifact, signature: Signature, imports: str) -> str:
    inputs, outputs = ([spec.name for spec in specs] for specs in (signature.inputs, signature.outputs))
    return f"""```python
import numpy as np
from cuda.bindings import runtime as cuda
{imports}


def call(function, *arguments):
    error, *values = function(*arguments)
    if int(error):
        raise RuntimeError(error.name)
    return values[0] if values else None


inputs, outputs = {json.dumps(inputs)}, {json.dumps(outputs)}
with open({format_literal(artifact.files[0])}, "rb") as file:
    engine = trt.Runtime(trt.Logger()).deserialize_cuda_engine(file.read())
context = engine.create_execution_context()
arrays = {{name: np.load(f"{GOLDEN}/input_{{name}}.npy") for name in inputs}}
for name in inputs:
    assert context.set_input_shape(name, arrays[name].shape), "not in the engine's profile"
for name in outputs:
    arrays[name] = np.empty(context.get_tensor_shape(name), trt.nptype(engine.get_tensor_dtype(name)))
memory = {{name: call(cuda.cudaMalloc, array.nbytes) for name, array in arrays.items()}}
for name, array in arrays.items():
    context.set_tensor_address(name, memory[name])
kinds, stream = cuda.cudaMemcpyKind, call(cuda.cudaStreamCreate)
for name in inputs:
    to_gpu = kinds.cudaMemcpyHostToDevice
    call(cuda.cudaMemcpyAsync, memory[name], arrays[name].ctypes.data, arrays[name].nbytes, to_gpu, stream)
assert context.execute_async_v3(int(stream))
for name in outputs:
    to_host = kinds.cudaMemcpyDeviceToHost
    call(cuda.cudaMemcpyAsync, arrays[name].ctypes.data, memory[name], arrays[name].nbytes, to_host, stream)
call(cuda.cudaStreamSynchronize, stream)
for name in outputs:
    expected = np.load(f"{GOLDEN}/output_{{name}}.npy").astype(float)
    print(name, arrays[name].shape, np.abs(arrays[name] - expected).max(initial=0))
```
"""
