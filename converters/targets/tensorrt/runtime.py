"""Load TensorRT and run engines. The only module that imports TensorRT and CUDA, which are optional packages.

The packages `tensorrt` (data centre GPUs) and `tensorrt-rtx` have the same API. `tensorrt` builds engines only on a
machine with a GPU.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from converters.errors import BundleError, MissingPackageError, ProfileError, UnrunnableError, why_missing
from converters.tensors import Array, Tensors, TensorSpec, check_feeds

# The modules that tensorrt-rtx installs: the whole package's, and that of its bindings alone.
RTX_MODULES = ("tensorrt_rtx", "tensorrt_rtx_bindings")


def load_tensorrt() -> Any:
    """Import `tensorrt` if it is installed and there is a GPU, else `tensorrt-rtx`.

    Raises:
        MissingPackageError: neither can be used on this machine.
    """
    names = ("tensorrt", *RTX_MODULES) if has_gpu() else RTX_MODULES
    for name in names:
        try:
            return importlib.import_module(name)
        except (ImportError, OSError):
            continue
    raise MissingPackageError(
        "TensorRT",
        "neither tensorrt-rtx, nor tensorrt beside a GPU, is installed",
        "Install ganport with the extra 'tensorrt'",
    )


def missing_tensorrt() -> str | None:
    """Why no engine can be built on this machine, or None if one can."""
    return why_missing(load_tensorrt)


def package_name(trt: Any) -> str:
    """The package that the module `trt` belongs to: "tensorrt" or "tensorrt-rtx"."""
    return "tensorrt-rtx" if trt.__name__ in RTX_MODULES else "tensorrt"


@cache
def gpu() -> str | None:
    """Name and compute capability of the first GPU; None if CUDA can use none, or its bindings are not installed."""
    try:
        cuda = importlib.import_module("cuda.bindings.runtime")
    except (ImportError, OSError):
        return None
    error, count = cuda.cudaGetDeviceCount()
    if error != cuda.cudaError_t.cudaSuccess or not count:
        return None
    properties = _unwrap(cuda.cudaGetDeviceProperties(0))
    name = properties.name.decode() if isinstance(properties.name, bytes) else properties.name
    return f"{name}, compute capability {properties.major}.{properties.minor}"


def has_gpu() -> bool:
    """Whether this machine has a GPU that can run an engine."""
    return gpu() is not None


def open_logger(trt: Any) -> Any:
    """Make a logger that collects TensorRT's errors; the default logger prints them.

    Its method `first_error()` returns the message to quote: later errors are consequences of the first.
    """

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

        def first_error(self) -> str:
            return self.errors[0].strip().partition("\n")[0].rstrip(".") if self.errors else "no reason given"

    return Logger()


class TensorrtRunner:
    """Runs an engine on the first GPU. It takes and returns arrays in host memory.

    Raises:
        MissingPackageError: TensorRT is not installed.
        UnrunnableError: the engine does not load on this GPU.
        BundleError: the engine's tensor names are not the contract's.
    """

    def __init__(self, engine: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._where = engine
        self._trt = load_tensorrt()
        self._log = open_logger(self._trt)
        self._runtime = self._trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(engine.read_bytes())
        self._context: Any = None if self._engine is None else self._engine.create_execution_context()
        if self._context is None:
            raise UnrunnableError(
                engine,
                f"{gpu() or 'this machine, without a GPU,'} does not load it ({self._log.first_error()})",
                "Run it with the TensorRT version it was built with, on a GPU it was built for (see the manifest)",
            )
        ours = {spec.name for spec in (*inputs, *outputs)}
        theirs = {self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)}
        if ours != theirs:
            raise BundleError(engine, f"its tensors are {sorted(theirs)}, not {sorted(ours)}", "Convert it again")
        self._cuda = importlib.import_module("cuda.bindings.runtime")
        self._stream = _unwrap(self._cuda.cudaStreamCreate())

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """Compute the outputs, by name.

        Raises:
            FeedError: `feeds` does not fit the contract, or (as ProfileError) not the engine's profile.
            UnrunnableError: TensorRT or CUDA fails, for example because GPU memory is short.
        """
        check_feeds(self._where, self.inputs, feeds)
        self._log.errors.clear()
        for spec in self.inputs:
            self._require_in_profile(spec.name, feeds[spec.name].shape)
            self._require(self._context.set_input_shape(spec.name, feeds[spec.name].shape))
        arrays = {spec.name: np.ascontiguousarray(feeds[spec.name]) for spec in self.inputs}
        for spec in self.outputs:
            shape = tuple(self._context.get_tensor_shape(spec.name))
            self._require(len(shape) == len(spec.shape) and min(shape) >= 0)  # otherwise not inferred
            arrays[spec.name] = np.empty(shape, spec.dtype)
        buffers: dict[str, int] = {}
        try:
            for name, array in arrays.items():
                buffers[name] = _unwrap(self._cuda.cudaMalloc(array.nbytes))
                self._require(self._context.set_tensor_address(name, int(buffers[name])))
            kinds = self._cuda.cudaMemcpyKind
            for spec in self.inputs:
                array = arrays[spec.name]
                self._copy(buffers[spec.name], array.ctypes.data, array.nbytes, kinds.cudaMemcpyHostToDevice)
            self._require(self._context.execute_async_v3(int(self._stream)))
            for spec in self.outputs:
                array = arrays[spec.name]
                self._copy(array.ctypes.data, buffers[spec.name], array.nbytes, kinds.cudaMemcpyDeviceToHost)
            _unwrap(self._cuda.cudaStreamSynchronize(self._stream))
        finally:
            for buffer in buffers.values():
                self._cuda.cudaFree(buffer)
        return {spec.name: arrays[spec.name] for spec in self.outputs}

    def _copy(self, target: int, source: int, size: int, kind: Any) -> None:
        """Queue a copy of `size` bytes between two addresses; `kind` is its direction."""
        _unwrap(self._cuda.cudaMemcpyAsync(target, source, size, kind, self._stream))

    def _require(self, succeeded: bool) -> None:
        """
        Raises:
            UnrunnableError: a call of TensorRT did not succeed.
        """
        if not succeeded:
            raise UnrunnableError(self._where, f"it fails on {gpu()} ({self._log.first_error()})", "Build it again")

    def _require_in_profile(self, name: str, shape: tuple[int, ...]) -> None:
        """
        Raises:
            ProfileError: the shape of input `name` lies outside the engine's profile.
        """
        smallest = largest = tuple(self._engine.get_tensor_shape(name))
        if -1 in smallest:  # an input of fixed shape has no profile
            smallest, _, largest = (tuple(limit) for limit in self._engine.get_tensor_profile_shape(name, 0))
        if any(not low <= size <= high for low, size, high in zip(smallest, shape, largest, strict=True)):
            raise ProfileError(
                f"{self._where}, input '{name}'",
                f"its shape {shape} lies outside the engine's profile, {smallest} to {largest}",
                "Resize it, or convert again with --trt-min and --trt-max",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._cuda.cudaStreamDestroy(self._stream)
        del self._context, self._engine, self._runtime


def _unwrap(result: tuple[Any, ...]) -> Any:
    """The value of a CUDA call, None if it has none.

    Args:
        result: What the call returned: its error code, then its value if it has one.

    Raises:
        UnrunnableError: the call failed.
    """
    error, *values = result
    if int(error) != 0:
        raise UnrunnableError("CUDA", f"a call failed with {error.name}", "Check the GPU's memory and its driver")
    return values[0] if values else None
