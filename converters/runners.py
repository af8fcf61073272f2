"""The Runner interface, which every runtime implements, and its implementations for torch and ONNX Runtime.

Those for MXNet and TensorRT are in targets/mxnet/runtime.py and targets/tensorrt/runtime.py, the only modules that
import these packages.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec
import numpy as np

from converters.errors import BundleError, FeedError, UnrunnableError
from converters.tensors import CONTRACT_KEY, Array, Signature, Tensors, TensorSpec, check_feeds, find_repeated

if TYPE_CHECKING:
    import torch


class Runner(Protocol):
    """A model, loaded into a runtime; a context manager that releases the runtime's resources at exit.

    Attributes:
        inputs: The model's inputs.
        outputs: The model's outputs.
    """

    @property
    def inputs(self) -> Sequence[TensorSpec]: ...

    @property
    def outputs(self) -> Sequence[TensorSpec]: ...

    def run(self, feeds: Tensors) -> Tensors:
        """Compute the model's outputs, by name.

        Args:
            feeds: Array per input, by name.

        Raises:
            FeedError: `feeds` does not fit `inputs`, or the runtime rejects these arrays.
            UnrunnableError: the machine lacks the memory, or the runtime fails.
            BundleError: MXNet fails on the files.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


def count_cores() -> int:
    """How many processor cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # only Linux has it
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def memory_of_machine() -> int:
    """Bytes of memory that this machine has, or the container that this process runs in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # not there, or "max"
            total = min(total, int(Path(file).read_text()))
    return total


class TorchRunner:
    """Runs a torch module on the CPU.

    Args:
        module: The module.
        inputs: Its inputs.
        outputs: Its outputs.
        dtype: What floating-point inputs are cast to; None takes the type of the module's parameters.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        dtype: np.dtype[np.floating[Any]] | None = None,
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._module = module
        self._dtype = dtype

    def run(self, feeds: Tensors) -> dict[str, Array]:
        import torch

        check_feeds("torch", self.inputs, feeds)
        own = next((parameter.dtype for parameter in self._module.parameters()), torch.float32)
        dtype = own if self._dtype is None else getattr(torch, self._dtype.name)
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
    """Runs an ONNX model in ONNX Runtime on the CPU.

    Args:
        source: Path of the file, or the model's bytes.
        inputs: The model's inputs. If this or `outputs` is None, both are read from the model: from the metadata that
            ganport wrote, or else from the graph, which gives names, shapes and dtypes only.
        outputs: The model's outputs, or None.
        threads: Size of the thread pool; None leaves the choice to ONNX Runtime.

    Raises:
        BundleError: ONNX Runtime cannot load the model, or the contract in its metadata is damaged.
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
        except _rejection_types() as error:
            raise BundleError(
                self._where, f"ONNX Runtime does not load it ({_reason(error)})", "Convert it again"
            ) from error
        self.inputs, self.outputs = self._read_contract() if inputs is None or outputs is None else (inputs, outputs)

    def _read_contract(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """The inputs and outputs by the model's metadata, or else by its graph.

        Raises:
            BundleError: the metadata is damaged, or names other tensors than the graph; or a name is there twice.
        """
        properties = self._session.get_modelmeta().custom_metadata_map
        inputs, outputs = (
            tuple(map(_read_spec, arguments)) for arguments in (self._session.get_inputs(), self._session.get_outputs())
        )
        for side in (inputs, outputs):
            repeated = find_repeated(spec.name for spec in side)
            if repeated is not None:
                raise BundleError(self._where, f"two of its inputs or outputs are called '{repeated}'", "Rename one")
        if CONTRACT_KEY not in properties:
            return inputs, outputs
        met = "what it says of its inputs and outputs is damaged"
        damaged = BundleError(self._where, met, "Convert its source again")
        try:
            contract = msgspec.json.decode(properties[CONTRACT_KEY], type=Signature)
        except (msgspec.DecodeError, RecursionError) as error:
            raise damaged from error
        for described, actual in ((contract.inputs, inputs), (contract.outputs, outputs)):
            if [spec.name for spec in described] != [spec.name for spec in actual]:
                raise damaged
        return contract.inputs, contract.outputs

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """Compute the outputs, by name.

        Raises:
            FeedError: `feeds` does not fit the contract, or ONNX Runtime rejects the arrays.
            UnrunnableError: there is not enough memory.
        """
        check_feeds(self._where, self.inputs, feeds)
        from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

        names = [spec.name for spec in self.outputs]
        try:
            results = self._session.run(names, dict(feeds))
        except (RuntimeException, *_rejection_types()) as error:
            if isinstance(error, RuntimeException) or "allocate memory" in str(error):
                met = f"ONNX Runtime fails, for want of memory most likely ({_reason(error)})"
                raise UnrunnableError(self._where, met, "Give a smaller input") from error
            raise FeedError(
                self._where, f"ONNX Runtime refuses these inputs ({_reason(error)})", "Give inputs that fit the file"
            ) from error
        return dict(zip(names, results, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        del self._session


def _rejection_types() -> tuple[type[Exception], ...]:
    """The exceptions that ONNX Runtime raises for a model or for input arrays that it does not accept."""
    from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
    # Its messages quote names of the file, and it decodes them as UTF-8.
    return (*(getattr(ort_errors, name) for name in names), UnicodeDecodeError)


def _reason(error: Exception) -> str:
    """The first line of ONNX Runtime's message, without its error code and without the path, which the caller names."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = lines[0].rstrip(".")
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:)?", "", line)


# ONNX Runtime's name of an element type to numpy's, where they differ.
ORT_DTYPES = {"float": "float32", "double": "float64", "string": "object"}


def _read_spec(value: Any) -> TensorSpec:
    """The spec of an input or output by the graph alone.

    Args:
        value: ONNX Runtime's NodeArg. An axis that it gives neither a size nor a name gets a name of its own.
    """
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    shape = (
        axis if isinstance(axis, int | str) else f"{value.name}_axis_{index}" for index, axis in enumerate(value.shape)
    )
    return TensorSpec(value.name, tuple(shape), ORT_DTYPES.get(kind, kind), layout="")
