"""From a reference model to ONNX: the waist that every target starts from."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from onnx import ModelProto
from torch.export import Dim

from converters.errors import ExportError
from converters.tensors import TensorSpec

if TYPE_CHECKING:
    from reference import ReferenceModel

OPSET = 18
# Traced on two items and unequal sides: a 1, or two equal sizes, would be taken for constants.
TRACE_BATCH, TRACE_SIDES = 2, (32, 48)


def export_onnx(model: ReferenceModel, module: torch.nn.Module, size: tuple[int, int] | None = None) -> ModelProto:
    """Write `module` as an ONNX graph of opset 18, weights inside.

    Args:
        model: Gives names, shapes and constraints of inputs and outputs.
        module: The module to export, float32, spectral norm folded; takes the inputs in order.
        size: (H, W) for static shapes with N = 1; None keeps N, H and W free.

    Raises:
        ExportError: torch cannot express the module, or `size` breaks the model's contract.
    """
    for spec in model.inputs:
        if size is not None and any(side % spec.multiple_of or side < spec.minimum for side in size):
            raise ExportError(
                f"--size {size[0]}x{size[1]}",
                f"{model.architecture} takes multiples of {spec.multiple_of}, {spec.minimum} or more",
                "Give such a size",
            )
    sides = size or TRACE_SIDES
    batch = TRACE_BATCH if size is None else 1
    example = tuple(_example(spec, batch, sides) for spec in model.inputs)
    with _quiet_exporter():
        try:
            program = torch.onnx.export(
                module,
                example,
                dynamo=True,
                opset_version=OPSET,
                input_names=[spec.name for spec in model.inputs],
                output_names=[spec.name for spec in model.outputs],
                dynamic_shapes=_dynamic_shapes(model.inputs) if size is None else None,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ExportError(
                model.architecture,
                f"torch cannot write it as ONNX ({type(error).__name__})",
                "Report this with the checkpoint's key list: the module is ours",
            ) from error
    assert program is not None
    return program.model_proto


def _example(spec: TensorSpec, batch: int, sides: tuple[int, int]) -> torch.Tensor:
    """A tensor of its own for each input: one tensor given twice becomes one graph input, silently."""
    sizes = {"N": batch, "H": sides[0], "W": sides[1]}
    return torch.rand([axis if isinstance(axis, int) else sizes[axis] for axis in spec.shape])


def _dynamic_shapes(inputs: tuple[TensorSpec, ...]) -> tuple[dict[int, object], ...]:
    dims: dict[str, object] = {"N": Dim("N", min=1)}
    for spec in inputs:
        for axis in spec.shape:
            if isinstance(axis, str) and axis not in dims:
                quotient = Dim(axis.lower(), min=-(-spec.minimum // spec.multiple_of))
                dims[axis] = spec.multiple_of * quotient if spec.multiple_of > 1 else quotient
    return tuple(
        {index: dims[axis] for index, axis in enumerate(spec.shape) if isinstance(axis, str)} for spec in inputs
    )


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter's notes on torchvision, pytree and axis names from the user: none of them concerns us."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
