"""Run MXNet files. The only module that imports mxnet, which is an optional package."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from converters.errors import BundleError, MissingPackageError, why_missing
from converters.runners import count_cores
from converters.targets.mxnet.symbol import ARGUMENT_PREFIX
from converters.tensors import Array, Tensors, TensorSpec, check_feeds

# Attributes of numpy that mxnet 1.9.1 reads and that numpy removed in 1.24.
NUMPY_ALIASES = {"bool": bool, "int": int, "float": float, "object": object, "complex": complex, "str": str}
# numpy dtype to the one that stands for it in the files, where MXNet lacks it.
WITHOUT_BOOL = {"bool": "uint8"}
# What MXNet 1.9.1 says where its planner gave a tensor a larger one's memory, which oneDNN refuses; seen on a U-Net of
# diffusers with 8 channels. With this variable set, only tensors of one size share memory.
MISMATCHED_MEMORY = "doesn't match the requested MKLDNN memory desc"
WITHOUT_SHARING = "It is a defect of MXNet's: set NNVM_EXEC_MATCH_RANGE=0 in the environment wherever it runs"


@cache
def load_mxnet() -> Any:
    """Import mxnet, after giving numpy the attributes that mxnet reads.

    Raises:
        MissingPackageError: mxnet is not installed, or does not load on this machine.
    """
    for name, kind in NUMPY_ALIASES.items():
        if name not in vars(np):
            setattr(np, name, kind)
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")  # otherwise each bind prints a line
    # Without this variable, importing mxnet limits the whole process, torch included, to half of the threads.
    os.environ.setdefault("OMP_NUM_THREADS", str(count_cores()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mxnet
    except (ImportError, AttributeError, OSError) as error:
        raise MissingPackageError(
            "mxnet",
            f"it is not installed or does not load ({type(error).__name__}: {error})",
            "Install ganport with the extra 'mxnet'; it needs numpy below 2",
        ) from error
    return mxnet


def missing_mxnet() -> str | None:
    """Why MXNet cannot run on this machine, or None if it can."""
    return why_missing(load_mxnet)


class MxnetRunner:
    """Runs a symbol and its params in MXNet on the CPU, at any input size that the contract allows.

    MXNet has neither bool tensors nor tensors of rank 0. The files use uint8 and the shape (1,) instead; `run` takes
    and returns arrays in the contract's dtypes and shapes.

    Raises:
        MissingPackageError: mxnet is not installed.
        BundleError: MXNet cannot load a file, the params have no names, or the symbol's outputs are not the contract's.
    """

    def __init__(self, symbol: Path, params: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._where = symbol
        self._mx = load_mxnet()
        self._symbol = self._load(self._mx.sym.load, symbol)
        loaded = self._load(self._mx.nd.load, params)
        if isinstance(loaded, list):  # mx.nd.load returns a dict only if the file holds names
            if loaded:
                raise BundleError(params, "its arrays have no names", "Convert it again")
            loaded = {}
        count = len(self._symbol.list_outputs())
        if count != len(outputs):
            raise BundleError(symbol, f"it has {count} outputs, its contract {len(outputs)}", "Convert it again")
        self._params = {name.removeprefix(ARGUMENT_PREFIX): array for name, array in loaded.items()}
        # The last executor, after the input shapes that it is bound to.
        self._bound: tuple[tuple[tuple[int, ...], ...], Any] | None = None

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """Compute the outputs, by name.

        Raises:
            FeedError: `feeds` does not fit the contract.
            BundleError: the params do not fit the symbol, or MXNet fails on these inputs.
        """
        check_feeds(self._where, self.inputs, feeds)
        executor = self._bind(tuple(feeds[spec.name].shape for spec in self.inputs))
        for spec in self.inputs:
            if spec.name in executor.arg_dict:  # a symbol has no argument for an unused input
                executor.arg_dict[spec.name][:] = np.atleast_1d(feeds[spec.name])
        try:
            results = [result.asnumpy() for result in executor.forward(is_train=False)]
        except (self._mx.MXNetError, UnicodeDecodeError) as error:  # its message may quote bytes of the file
            remedy = WITHOUT_SHARING if MISMATCHED_MEMORY in str(error) else "Convert it again"
            raise BundleError(self._where, f"MXNet does not run it ({_reason(error)})", remedy) from error
        return {spec.name: _restore(result, spec) for spec, result in zip(self.outputs, results, strict=True)}

    def _load(self, loader: Callable[[str], Any], path: Path) -> Any:
        try:
            return loader(str(path))
        except (self._mx.MXNetError, UnicodeDecodeError) as error:
            raise BundleError(path, f"MXNet does not load it ({_reason(error)})", "Convert it again") from error

    def _bind(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        """The symbol, bound to inputs of these shapes: the last executor, or else a new one."""
        if self._bound is None or self._bound[0] != shapes:
            arrays = {
                spec.name: self._mx.nd.empty(shape or (1,), dtype=WITHOUT_BOOL.get(spec.dtype, spec.dtype))
                for spec, shape in zip(self.inputs, shapes, strict=True)
            }
            # A run may reorder the weights into a layout that kernels for another input size do not accept.
            params = {name: array.copy() for name, array in self._params.items()}
            try:
                executor = self._symbol.bind(self._mx.cpu(), {**params, **arrays}, grad_req="null")
            except (self._mx.MXNetError, ValueError) as error:
                raise BundleError(
                    self._where, f"its params do not fit it ({_reason(error)})", "Convert it again"
                ) from error
            self._bound = shapes, executor
        return self._bound[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bound = None


def _restore(array: Array, spec: TensorSpec) -> Array:
    """Convert an output from MXNet's dtype and shape to the contract's."""
    array = array.astype(bool) if spec.dtype == "bool" else array
    return array.reshape(()) if spec.shape == () and array.shape == (1,) else array


def _reason(error: Exception) -> str:
    """The last line of MXNet's message, which names the reason; lines before it only locate the error."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].rstrip(".")
