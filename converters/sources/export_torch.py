"""Export a reference model from torch to one ONNX graph of opset 18."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import torch
from onnx import ModelProto, ValueInfoProto, helper
from torch import nn
from torch.export import Dim

from converters.errors import ExportError
from converters.onnx_graph.join_graphs import Part, join_graphs
from converters.onnx_graph.nodes import WAIST_OPSET
from converters.sources.quick_exporter import quick_exporter
from converters.sources.user_code import describe_failure
from converters.tensors import TensorSpec, fit_size
from reference.torch_extra import require_torch

if TYPE_CHECKING:
    from reference.model import Piece, ReferenceModel

# Sizes of the example that torch traces, by axis name. torch would take a size of 1, or two equal sizes, for constants.
# A net that needs multiples of m is traced at H >= 2 m and W >= 3 m: divided by m, they still exceed 1 and differ.
TRACE_SIZES = {"N": 2, "H": 32, "W": 48, "H4": 36, "W4": 52}

# Where a program has no standard streams.
NOWHERE = io.StringIO()
_streams: dict[int, _OfOtherThreads] = {}


def fix_size(model: ReferenceModel, size: tuple[int, int]) -> ReferenceModel:
    """`model` with static shapes in its contract: N = 1 and (H, W) = `size`.

    Raises:
        ExportError: the model does not accept `size`.
    """
    for spec in model.inputs:
        if any(side % spec.multiple_of or side < spec.minimum for side in size):
            raise ExportError(
                f"--size {size[0]}x{size[1]}",
                f"{model.architecture} takes multiples of {spec.multiple_of}, {spec.minimum} or more",
                "Give such a size",
            )
    sizes = {"N": 1, "H": size[0], "W": size[1]}
    if not any(spec.shape[2:] == ("H", "W") or spec.shape[2:] == size for spec in model.inputs):
        met = "no input is an image whose H and W are free"
        raise ExportError(f"--size {size[0]}x{size[1]}", met, "Leave out --size")
    untold = [axis for spec in model.inputs for axis in spec.shape if isinstance(axis, str) and axis not in sizes]
    if untold:
        met = f"it does not tell the size of the axis '{untold[0]}'"
        raise ExportError(f"--size {size[0]}x{size[1]}", met, "Fix it by an example of one size, and leave out --size")

    def fix(spec: TensorSpec) -> TensorSpec:
        return replace(spec, shape=tuple(axis if isinstance(axis, int) else sizes[axis] for axis in spec.shape))

    return replace(model, inputs=tuple(map(fix, model.inputs)), outputs=tuple(map(fix, model.outputs)))


def export_onnx(model: ReferenceModel, module: nn.Module, size: tuple[int, int] | None = None) -> ModelProto:
    """Export `module` to an ONNX graph of opset 18 that holds the weights.

    A model of several pieces is exported piece by piece, and the graphs are joined.

    Args:
        model: The contract of `module`, and how it splits into pieces.
        module: The module to export, float32, with spectral norm folded.
        size: (H, W) for static shapes with N = 1; None keeps N, H and W free.

    Raises:
        ExportError: torch cannot express the module.
        MissingPackageError: onnxscript is not installed.
    """
    require_torch(model.architecture)
    pieces = model.pieces(module)
    if len(pieces) == 1:
        return _export_piece(pieces[0], size)
    parts = []
    for piece in pieces:
        wires = {spec.name: piece.wire(spec.name) for spec in (*piece.inputs, *piece.outputs)}
        parts.append(Part(piece.name, _export_piece(piece, None), wires))
    return join_graphs(parts, list(map(_make_value_info, model.inputs)), list(map(_make_value_info, model.outputs)))


def _export_piece(piece: Piece, size: tuple[int, int] | None) -> ModelProto:
    multiple = max(spec.multiple_of for spec in piece.inputs)
    height, width = size or fit_size(
        piece.inputs, (max(TRACE_SIZES["H"], 2 * multiple), max(TRACE_SIZES["W"], 3 * multiple))
    )
    sizes = {**TRACE_SIZES, "N": TRACE_SIZES["N"] if size is None else 1, "H": height, "W": width}
    if size is None:
        sizes |= piece.trace_sizes
    example = tuple(_make_example(spec, sizes) for spec in piece.inputs)
    shapes = None if size is not None else _dynamic_shapes(piece.inputs)
    if any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(piece.module.forward).parameters.values()):
        shapes = None if shapes is None else (shapes,)
    with _quiet_exporter(), quick_exporter():
        try:
            program = torch.onnx.export(
                piece.module,
                example,
                dynamo=True,
                opset_version=WAIST_OPSET,
                input_names=[spec.name for spec in piece.inputs],
                output_names=[spec.name for spec in piece.outputs],
                dynamic_shapes=shapes,
                verbose=False,
            )
        except Exception as error:  # of torch's many, and of the module's own code
            raise ExportError(
                piece.name,
                f"torch cannot write it as ONNX ({describe_failure(error)})",
                "If the line is yours, write it otherwise (an `if` on a number as torch.where); if not, report it",
            ) from error
    assert program is not None
    graph: ModelProto = program.model_proto
    _drop_void_squeezes(graph)
    return graph


def _drop_void_squeezes(model: ModelProto) -> None:
    """Make Identity of each Squeeze that leaves the number of axes as it is.

    torch's squeeze leaves an axis alone whose size is not 1. torch.onnx writes ONNX's Squeeze for it all the same,
    which fails there, though it records the right shape of the result.
    """
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
        if value.type.tensor_type.HasField("shape")
    }
    for node in model.graph.node:
        if node.op_type == "Squeeze" and ranks.get(node.input[0], -1) == ranks.get(node.output[0], -2):
            node.op_type = "Identity"
            del node.input[1:]
            del node.attribute[:]


def _make_value_info(spec: TensorSpec) -> ValueInfoProto:
    return helper.make_tensor_value_info(spec.name, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), spec.shape)


def _make_example(spec: TensorSpec, sizes: Mapping[str, int]) -> torch.Tensor:
    """A random tensor in [0, 1). Each input needs its own: the exporter merges inputs that share a tensor into one."""
    shape = [axis if isinstance(axis, int) else sizes[axis] for axis in spec.shape]
    return torch.rand(shape).to(getattr(torch, spec.dtype))


def _dynamic_shapes(inputs: tuple[TensorSpec, ...]) -> tuple[object, ...]:
    """torch's Dim of each free axis, by its index, for each input.

    A size that must be a multiple of m is declared as m times a Dim, whose lower bound is minimum / m, rounded up.
    """
    dims: dict[str, object] = {"N": Dim("N", min=1)}
    for spec in inputs:
        for axis in spec.shape:
            if isinstance(axis, str) and axis not in dims:
                quotient = Dim(axis.lower(), min=-(-spec.minimum // spec.multiple_of))
                dims[axis] = spec.multiple_of * quotient if spec.multiple_of > 1 else quotient
    return tuple(
        {index: dims[axis] for index, axis in enumerate(spec.shape) if isinstance(axis, str)} for spec in inputs
    )


class _OfOtherThreads:
    """A stream that drops what one thread writes, while `muted` is that thread's number."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.muted: int | None = None

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self.muted else self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _keep_wrapped(stream: TextIO) -> _OfOtherThreads:
    """The one wrapper of a stream. It stays for good, as another thread's `print` may be using it after the export.

    CPython 3.11 counts no reference for that, and crashes if the stream is gone.
    """
    return _streams.setdefault(id(stream), _OfOtherThreads(stream))


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence the exporter's notes on torchvision, pytree and axis names: they do not concern the user."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # torch logs and prints whole graphs; what it raises is what is told
    stdout, stderr = (_keep_wrapped(stream or NOWHERE) for stream in (sys.stdout, sys.stderr))
    stdout.muted = stderr.muted = threading.get_ident()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        stdout.muted = stderr.muted = None
        logging.disable(disabled)
