"""Runners: one way to run a file or a module, whatever the runtime.

A Runner has `inputs`, `outputs` and `run(feeds) -> Tensors`, and is a context manager. MXNet's and
TensorRT's live beside the one import of their package: mxnet_runtime.py, tensorrt_runtime.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from converters.errors import BundleError, FeedError, UnrunnableError
from converters.tensors import CONTRACT_KEY, Array, Tensors, TensorSpec, check_feeds

if TYPE_CHECKING:
    import torch


class Runner(Protocol):
    """Something that computes a model's outputs from its inputs."""

    @property
    def inputs(self) -> Sequence[TensorSpec]: ...

    @property
    def outputs(self) -> Sequence[TensorSpec]: ...

    def run(self, feeds: Tensors) -> Tensors:
        """Outputs by name.

        Raises:
            FeedError: `feeds` does not fit `inputs`, or the file itself.
            UnrunnableError: the machine is too small for it.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class TorchRunner:
    """Runs a torch module on the CPU in its own precision; gives float32 or, for a float64 module, float64."""

    def __init__(self, module: torch.nn.Module, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._module = module

    def run(self, feeds: Tensors) -> dict[str, Array]:
        import torch

        check_feeds("torch", self.inputs, feeds)
        dtype = next(self._module.parameters()).dtype
        arrays = [torch.from_numpy(np.ascontiguousarray(feeds[spec.name])) for spec in self.inputs]
        with torch.inference_mode():
            results = self._module(*(array.to(dtype) if array.is_floating_point() else array for array in arrays))
        if isinstance(results, torch.Tensor):
            results = (results,)
        return {spec.name: result.numpy() for spec, result in zip(self.outputs, results, strict=True)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


class OnnxRunner:
    """Runs an ONNX file, or a model's bytes, in ONNX Runtime on the CPU.

    Args:
        source: Path of the file, or its bytes.
        inputs: Contract; None reads it from the file: as ganport wrote it, else bare names, shapes and types.
        outputs: Likewise.
        threads: Size of the thread pool; None leaves the choice to ONNX Runtime.

    Raises:
        BundleError: the file is not a model that ONNX Runtime can load.
    """

    def __init__(
        self,
        source: Path | bytes,
        inputs: Sequence[TensorSpec] | None = None,
        outputs: Sequence[TensorSpec] | None = None,
        threads: int | None = None,
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        if threads is not None:
            options.intra_op_num_threads = threads
        self._where = source if isinstance(source, Path) else "ONNX model"
        try:
            self._session = onnxruntime.InferenceSession(
                str(source) if isinstance(source, Path) else source, options, providers=["CPUExecutionProvider"]
            )
        except _refusals() as error:
            raise BundleError(
                self._where, f"ONNX Runtime does not load it ({_reason(error)})", "Convert it again"
            ) from error
        self.inputs, self.outputs = self._contract() if inputs is None or outputs is None else (inputs, outputs)

    def _contract(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        properties = self._session.get_modelmeta().custom_metadata_map
        ends = {"inputs": self._session.get_inputs(), "outputs": self._session.get_outputs()}
        if CONTRACT_KEY not in properties:
            return tuple(map(_read_spec, ends["inputs"])), tuple(map(_read_spec, ends["outputs"]))
        met = "what it says of its inputs and outputs is damaged"
        damaged = BundleError(self._where, met, "Convert its source again")
        try:
            contract = json.loads(properties[CONTRACT_KEY])
            read = {side: tuple(TensorSpec.from_json(fields) for fields in contract[side]) for side in ends}
        except (ValueError, LookupError, TypeError) as error:
            raise damaged from error
        if any([spec.name for spec in read[side]] != [value.name for value in values] for side, values in ends.items()):
            raise damaged
        return read["inputs"], read["outputs"]

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """Outputs by name.

        Raises:
            FeedError: `feeds` does not fit the contract, or the file itself.
            UnrunnableError: there is not enough memory.
        """
        check_feeds(self._where, self.inputs, feeds)
        from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

        names = [spec.name for spec in self.outputs]
        try:
            results = self._session.run(names, dict(feeds))
        except RuntimeException as error:  # for want of memory
            raise UnrunnableError(
                self._where, f"ONNX Runtime fails ({_reason(error)})", "Give a smaller input"
            ) from error
        except _refusals() as error:
            raise FeedError(
                self._where, f"ONNX Runtime refuses these inputs ({_reason(error)})", "Give inputs that fit the file"
            ) from error
        return dict(zip(names, results, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        del self._session


def _refusals() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises for a model, or for inputs, that it does not take."""
    from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
    return tuple(getattr(ort_errors, name) for name in names)


def _reason(error: Exception) -> str:
    """The first line of its message, without the path that the caller names."""
    line = str(error).strip().splitlines()[0].rstrip(".")
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:)?", "", line)


# ONNX Runtime's names of element types where they are not numpy's.
ORT_DTYPES = {"float": "float32", "double": "float64", "string": "object"}


def _read_spec(value: Any) -> TensorSpec:
    """What the file itself says of an input or output; an axis without a name or a size is free on its own."""
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    shape = (
        axis if isinstance(axis, int | str) else f"{value.name}_axis_{index}" for index, axis in enumerate(value.shape)
    )
    return TensorSpec(value.name, tuple(shape), ORT_DTYPES.get(kind, kind), layout="")
