"""Run a graph in ONNX Runtime, in the oldest ONNX Runtime that we support, and in MXNet without our runner."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

from converters.targets.mxnet.runtime import load_mxnet
from converters.targets.mxnet.write import convert_to_mxnet
from converters.tensors import Tensors
from parity_tests.support.places import ROOT

Feeds = Mapping[str, NDArray[Any]]

OLDEST_RUNTIME = "1.16.3"
OLDEST_FOLDER = ROOT / "build" / f"onnxruntime-{OLDEST_RUNTIME}"
# Arguments: the ONNX file, the folder of golden inputs, the .npz file to write. Prints the runtime's version.
RUN_GOLDEN_INPUTS = """
import sys
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
feeds = {given.name: np.load(f"{sys.argv[2]}/input_{given.name}.npy") for given in session.get_inputs()}
names = [output.name for output in session.get_outputs()]
np.savez(sys.argv[3], **dict(zip(names, session.run(None, feeds), strict=True)))
print(onnxruntime.__version__)
"""


def run_onnxruntime(model: ModelProto, feeds: Feeds) -> list[NDArray[Any]]:
    """Every output of the graph, in the graph's order."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(feeds))


def run_in_oldest_runtime(file: Path, folder: Path) -> Tensors:
    """Run an ONNX file of a bundle on the bundle's golden inputs in ONNX Runtime 1.16.3, in a new process.

    The test is skipped if that runtime is not installed.

    Args:
        file: The ONNX file, in the bundle's folder.
        folder: An existing folder outside the bundle, for the outputs' file.

    Returns:
        The outputs by name.
    """
    if not OLDEST_FOLDER.is_dir():
        pytest.skip(f"'make test' puts ONNX Runtime {OLDEST_RUNTIME} into {OLDEST_FOLDER.name}")
    found = folder / "found.npz"
    command = [sys.executable, "-c", RUN_GOLDEN_INPUTS, str(file), str(file.parent / "golden"), str(found)]
    environment = {"PYTHONPATH": str(OLDEST_FOLDER)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == OLDEST_RUNTIME
    with np.load(found) as outputs:
        return dict(outputs)


def write_mxnet_files(model: ModelProto, folder: Path) -> tuple[Path, Path]:
    """Convert a graph to MXNet's two files in `folder`, and return the paths of symbol and parameters."""
    files = convert_to_mxnet(model)
    symbol, params = folder / "net-symbol.json", folder / "net-0000.params"
    symbol.write_text(files.symbol_json)
    params.write_bytes(files.params)
    return symbol, params


def run_mxnet(model: ModelProto, feeds: Feeds, folder: Path) -> list[NDArray[Any]]:
    """Convert a graph to MXNet and run its files with MXNet's own API, as somebody without ganport would.

    Args:
        model: The graph.
        feeds: Arrays by input name. A bool array is fed as uint8, an array of rank 0 with the shape (1,).
        folder: An existing folder for MXNet's two files.

    Returns:
        Every output, in the graph's order.
    """
    symbol_path, params_path = write_mxnet_files(model, folder)
    mx = load_mxnet()
    symbol = mx.sym.load(str(symbol_path))
    assert symbol.list_outputs() == [f"{output.name}_output" for output in model.graph.output]
    params = dict(mx.nd.load(str(params_path)))
    arrays = {name.removeprefix("arg:"): array for name, array in params.items()}
    for name, array in feeds.items():
        kind = np.uint8 if array.dtype == bool else array.dtype
        arrays[name] = mx.nd.array(np.atleast_1d(array).astype(kind), dtype=kind)
    executor = symbol.bind(mx.cpu(), arrays, grad_req="null")
    return [result.asnumpy() for result in executor.forward(is_train=False)]
