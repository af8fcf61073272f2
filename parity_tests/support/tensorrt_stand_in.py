"""A stand-in for a GPU, CUDA and TensorRT's runtime, as strict as their documentation.

Work on the stream is done at synchronization only; device memory is reached by the stream only, and must still be
allocated then. The engine computes total = 2 * left + right.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import Enum, IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np

Shape = tuple[int, ...]
WILDCARD: Shape = (-1, 2, -1, -1)
LIMITS: tuple[Shape, Shape, Shape] = ((1, 2, 8, 8), (1, 2, 16, 16), (2, 2, 32, 32))
STREAM = 77
GPU = "Stand-in, compute capability 0.0"


class Error(IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2


class Kind(Enum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class Cuda:
    """The calls of cuda.bindings.runtime that the runner makes."""

    cudaMemcpyKind = Kind

    def __init__(self) -> None:
        self.memory: dict[int, Any] = {}
        self.queue: list[Callable[[], None]] = []
        self.streams: set[int] = set()
        self.allocations_left = 100

    def cudaStreamCreate(self) -> tuple[Error, int]:
        self.streams.add(STREAM)
        return Error.cudaSuccess, STREAM

    def cudaStreamDestroy(self, stream: int) -> tuple[Error]:
        assert not self.queue
        self.streams.remove(stream)
        return (Error.cudaSuccess,)

    def cudaMalloc(self, size: int) -> tuple[Error, int | None]:
        if self.allocations_left == 0:
            return Error.cudaErrorMemoryAllocation, None
        self.allocations_left -= 1
        block = ctypes.create_string_buffer(size)
        self.memory[ctypes.addressof(block)] = block
        return Error.cudaSuccess, ctypes.addressof(block)

    def cudaFree(self, address: int) -> tuple[Error]:
        self.queue.clear()  # no promise is kept to work that was not waited for
        del self.memory[address]
        return (Error.cudaSuccess,)

    def cudaMemcpyAsync(self, to: int, start: int, size: int, kind: Kind, stream: int) -> tuple[Error]:
        assert stream in self.streams
        device = to if kind is Kind.cudaMemcpyHostToDevice else start
        assert (to in self.memory, start in self.memory) == (device == to, device == start)
        assert len(self.memory[device]) == size
        self.queue.append(lambda: ctypes.memmove(to, start, size))
        return (Error.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Error]:
        assert stream in self.streams
        self.run_queue()
        return (Error.cudaSuccess,)

    def run_queue(self) -> None:
        for work in self.queue:
            work()
        self.queue.clear()


class Engine:
    """An engine of inputs "left" and "right", output "total", all of one shape.

    Args:
        shape: Of every tensor; -1 where free, within LIMITS then.
    """

    def __init__(self, cuda: Cuda, log: Any, shape: Shape) -> None:
        self.names = ["left", "right", "total"]
        self.context: Context | None = Context(cuda, log, shape)
        self._shape = shape

    @property
    def num_io_tensors(self) -> int:
        return len(self.names)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_shape(self, name: str) -> Shape:
        return self._shape

    def get_tensor_profile_shape(self, name: str, index: int) -> tuple[Shape, Shape, Shape]:
        assert -1 in self._shape, "what a static engine answers is not documented"
        assert index == 0
        return LIMITS

    def get_tensor_dtype(self, name: str) -> str:
        return "FLOAT"

    def create_execution_context(self) -> Context | None:
        return self.context


class Context:
    """What the engine runs in. `fails` names a call that returns False, or "infer" for shapes that stay unknown."""

    def __init__(self, cuda: Cuda, log: Any, shape: Shape) -> None:
        self.fails = ""
        self._cuda = cuda
        self._log = log
        self._shape = shape
        self._given: dict[str, Shape] = {}
        self._addresses: dict[str, int] = {}

    def _succeed(self, call: str) -> bool:
        if self.fails == call:
            self._log.log(self._log.ERROR, f"{call}: Error Code 3\nmore about it")
            self._log.log(self._log.ERROR, "a consequence")
        return self.fails != call

    def set_input_shape(self, name: str, shape: Shape) -> bool:
        assert all(wanted in (-1, size) for wanted, size in zip(self._shape, shape, strict=True))
        self._given[name] = shape
        return self._succeed("set_input_shape")

    def get_tensor_shape(self, name: str) -> Shape:
        return self._given["left"] if len(self._given) == 2 and self._succeed("infer") else WILDCARD

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return self._succeed("set_tensor_address")

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle in self._cuda.streams
        if not self._succeed("execute_async_v3"):
            return False

        def compute() -> None:
            left, right, total = (
                np.frombuffer(self._cuda.memory[self._addresses[name]], np.float32)
                for name in ("left", "right", "total")
            )
            total[:] = 2 * left + right

        self._cuda.queue.append(compute)
        return True


class Logger:
    ERROR = "ERROR"
    INTERNAL_ERROR = "INTERNAL_ERROR"

    def log(self, severity: str, message: str) -> None:
        """The real one prints."""


class Tensorrt:
    """The parts of the tensorrt module that the runner uses; an empty engine file does not deserialize."""

    ILogger = Logger
    Logger = Logger

    def __init__(self, cuda: Cuda, shape: Shape) -> None:
        self._cuda = cuda
        self._shape = shape
        self.engine: Engine | None = None

    def nptype(self, dtype: str) -> type[np.float32]:
        assert dtype == "FLOAT"
        return np.float32

    def Runtime(self, log: Any) -> Any:
        def deserialize_cuda_engine(data: bytes) -> Engine | None:
            if not data:
                log.log(Logger.ERROR, "not an engine")
                return None
            self.engine = self.engine or Engine(self._cuda, log, self._shape)
            return self.engine

        return SimpleNamespace(deserialize_cuda_engine=deserialize_cuda_engine)
