"""MXNet, which is optional: the only module that imports it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from converters.errors import BundleError, MissingPackageError
from converters.targets.mxnet.symbol import ARGUMENT_PREFIX
from converters.tensors import Array, Tensors, TensorSpec, check_feeds

# Names that mxnet 1.9.1 takes from numpy, and numpy dropped in 1.24.
NUMPY_ALIASES = {"bool": bool, "int": int, "float": float, "object": object, "complex": complex, "str": str}

WITHOUT_BOOL = {"bool": "uint8"}


@cache
def load_mxnet() -> Any:
    """The mxnet package; numpy gets back the names that it wants.

    Raises:
        MissingPackageError: it is not installed, or does not load here.
    """
    for name, kind in NUMPY_ALIASES.items():
        if name not in vars(np):
            setattr(np, name, kind)
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")  # else each bind prints a line
    # Else loading it sets the whole process, torch too, to half of the threads.
    os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
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
    """Why MXNet cannot run here, or None."""
    try:
        load_mxnet()
    except MissingPackageError as error:
        return error.met
    return None


class MxnetRunner:
    """Runs a symbol and its params in MXNet on the CPU, at any size the inputs have.

    What ONNX has and MXNet has not: a bool is a uint8 in the files, a tensor of rank 0 one of shape (1,).

    Raises:
        MissingPackageError: mxnet is not installed.
        BundleError: MXNet cannot read the files, they do not belong together, or it fails on them.
    """

    def __init__(self, symbol: Path, params: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._where = symbol
        self._mx = load_mxnet()
        self._symbol = self._load(self._mx.sym.load, symbol)
        loaded = self._load(self._mx.nd.load, params)
        if isinstance(loaded, list):  # what MXNet gives where the file holds no names
            if loaded:
                raise BundleError(params, "its arrays have no names", "Convert it again")
            loaded = {}
        self._params = {name.removeprefix(ARGUMENT_PREFIX): array for name, array in loaded.items()}
        self._bound: tuple[tuple[tuple[int, ...], ...], Any] | None = None

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """Outputs by name, in the contract's types and shapes.

        Raises:
            FeedError: `feeds` does not fit the contract.
            BundleError: MXNet does not run the symbol on them.
        """
        check_feeds(self._where, self.inputs, feeds)
        executor = self._executor(tuple(feeds[spec.name].shape for spec in self.inputs))
        for spec in self.inputs:
            if spec.name in executor.arg_dict:  # the symbol names no input that it does not need
                executor.arg_dict[spec.name][:] = np.atleast_1d(feeds[spec.name])
        try:
            results = [result.asnumpy() for result in executor.forward(is_train=False)]
        except self._mx.MXNetError as error:
            raise BundleError(self._where, f"MXNet does not run it ({_reason(error)})", "Convert it again") from error
        return {spec.name: _restore(result, spec) for spec, result in zip(self.outputs, results, strict=True)}

    def _load(self, loader: Callable[[str], Any], path: Path) -> Any:
        try:
            return loader(str(path))
        except (self._mx.MXNetError, UnicodeDecodeError) as error:
            raise BundleError(path, f"MXNet does not load it ({_reason(error)})", "Convert it again") from error

    def _executor(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        """The executor for inputs of these shapes; the last one is kept."""
        if self._bound is None or self._bound[0] != shapes:
            arrays = {
                spec.name: self._mx.nd.empty(shape or (1,), dtype=WITHOUT_BOOL.get(spec.dtype, spec.dtype))
                for spec, shape in zip(self.inputs, shapes, strict=True)
            }
            # A run brings weights into an order that another size's kernels may not take: each gets its own.
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
    """An output as ONNX has it."""
    array = array.astype(bool) if spec.dtype == "bool" else array
    return array.reshape(()) if spec.shape == () and array.shape == (1,) else array


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].rstrip(".")
