"""Run a user's Python file for the module that one of its functions makes, and load a checkpoint into that module."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from converters.errors import ArchitectureError, ConversionError, FeedError
from converters.sources.own_module import OwnModule, SourceRecord, read_module
from converters.sources.user_code import describe_failure
from converters.tensors import UNREADABLE, Array
from reference.checkpoint import read_checkpoint
from reference.key_match import Shapes, compare_keys

FORMAT = "Python"


def read_own_file(source: Path, checkpoint: Path | None, npz: Sequence[Path], name: str | None) -> OwnModule:
    """Run FILE.py, call its FUNCTION without arguments, and load the checkpoint into the module that it returns.

    Args:
        source: "FILE.py:FUNCTION"; instead of a function, a module.
        checkpoint: A file that holds the module's state dict; None leaves the weights as the function made them.
        npz: One or two .npz files with an array for each input, called as the parameters of `forward`, or in their
            order: one fixes all sizes; two leave free those that differ. None lets the input be guessed, for a net of
            one image.
        name: The bundle's; else the file's stem.

    Raises:
        ConversionError: the file is missing or fails, or gives no module.
        ArchitectureError: the checkpoint is of another net.
        FeedError: the arrays do not fit the module.
    """
    place, _, function = str(source).rpartition(":")
    path = Path(place)
    try:
        code = path.read_bytes()
    except OSError as error:
        raise ConversionError(path, f"it cannot be read ({error.strerror})", "Check the path") from error
    module = _make_module(path, function)
    files = [SourceRecord(path, hashlib.sha256(code).hexdigest(), FORMAT)]
    if checkpoint is not None:
        read = read_checkpoint(checkpoint, lambda shapes: compare_keys(function, shapes, _list_shapes(module), {}))
        match = compare_keys(
            function, {key: tuple(t.shape) for key, t in read.tensors.items()}, _list_shapes(module), {}
        )
        if match.faults:
            raise ArchitectureError(
                checkpoint, f"it does not fit {function}: {match}", "Give the checkpoint of that net"
            )
        module.load_state_dict(dict(read.tensors))
        files.append(SourceRecord(read.path, read.sha256, read.format))
    cases = [_read_npz(file) for file in npz]
    if len(cases) > 1 and list(cases[0]) != list(cases[1]):
        raise FeedError(
            npz[1], f"its arrays are {list(cases[1])}, those of {npz[0].name} {list(cases[0])}", "Name them alike"
        )
    inputs = {
        key: tuple(case[key] for case in cases) if len(cases) > 1 else cases[0][key]
        for key in (cases[0] if cases else ())
    }
    order = list(inspect.signature(module.forward).parameters)
    if set(inputs) <= set(order):  # they are called as the module calls them
        inputs = {key: inputs[key] for key in order if key in inputs}
    return read_module(module.eval(), inputs or None, name=name or path.stem, files=files)


def _make_module(path: Path, function: str) -> nn.Module:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, loaded)  # dataclasses and pickle look their module up
    sys.path.insert(0, str(path.parent.absolute()))  # where Python itself looks for what a script imports
    try:
        spec.loader.exec_module(loaded)
        make = getattr(loaded, function, None)
        made = make if isinstance(make, nn.Module) or make is None else make()
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise ConversionError(f"{path}:{function}", f"it fails ({describe_failure(error)})", "Mend it") from error
    if make is None:
        names = ", ".join(name for name, value in vars(loaded).items() if callable(value) and not name.startswith("_"))
        raise ConversionError(path, f"it has no '{function}' (it has {names or 'nothing'})", "Name a function of it")
    if not isinstance(made, nn.Module):
        met = f"it returns a {type(made).__name__}, no torch.nn.Module"
        raise ConversionError(f"{path}:{function}", met, "Let it return the module")
    return made


def _list_shapes(module: nn.Module) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (*UNREADABLE, MemoryError) as error:
        met = "there is no such file" if isinstance(error, FileNotFoundError) else "it is no .npz file of arrays"
        raise FeedError(path, met, "Write it with numpy.savez(FILE, NAME=array)") from error
