"""The source made from a checkpoint: the untouched torch module."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from onnx import ModelProto
from torch import nn

from converters.errors import CheckpointError, ParityError
from converters.parity.compare import DO_NOT_USE
from converters.parity.expected import NamedInput, ReferenceOutputs
from converters.parity.inputs import ParityInput, golden_input, perturb, short_inputs
from converters.runners import TorchRunner
from converters.sources.copy_module import copy_module
from converters.sources.export_torch import export_onnx, fix_size
from converters.sources.source import Prove, Size, Waist, describe_non_finite, prove_waist
from converters.sources.spectral_norm import fold_spectral_norm
from converters.sources.thin_convolution import ThinConvolutions
from converters.sources.user_code import describe_failure
from converters.tensors import GraphPiece, Tensors, TensorSpec
from reference.model import Piece, ReferenceModel


@dataclass(frozen=True)
class TorchSource:
    """The untouched module of one checkpoint, or of several that form a pipeline.

    Attributes:
        model: The module and its contract.
        size: (H, W) if the contract has static shapes, else None.
        remedy: Advice for the error message if a file misses its gate.
    """

    model: ReferenceModel
    size: Size | None = None
    remedy: str = DO_NOT_USE

    def run_inputs(self) -> ReferenceOutputs:
        return self._reference

    def run_golden(self, avoid: Collection[str]) -> ReferenceOutputs:
        for i in self._golden_order():
            if self._reference.inputs[i].name not in avoid:
                return self._reference.select(i)
        raise ParityError(
            self.model.architecture,
            "float32 is in doubt on every input, so that no golden case can be packed",
            self.remedy,
        )

    @cached_property
    def _inputs(self) -> tuple[ParityInput, ...]:
        """The parity inputs; the last is meant to be the golden case."""
        return (*short_inputs(self.model.inputs, self.size), golden_input(self.model.inputs, self.size))

    @cached_property
    def _reference(self) -> ReferenceOutputs:
        """The module's outputs. They take long, so that the golden case is one of them."""
        return run_reference(self.model, self._inputs)

    def _golden_order(self) -> list[int]:
        """The parity inputs' numbers, the best golden case first."""
        last = len(self._inputs) - 1
        return [last, *sorted(range(last), key=lambda i: self._inputs[i].photo.size)]

    def build_waist(self, prove: Prove, report_progress: Callable[[str], None]) -> Waist:
        report_progress("folding spectral norm")
        folded = fold_spectral_norm(self.model.module)
        prove("fold", "fold", TorchRunner(folded, self.model.inputs, self.model.outputs))

        report_progress("exporting to ONNX")
        exported = self._export(folded)
        graph = prove_waist("export", exported, "runtime norm", self.model, prove, report_progress, accurate_means=True)
        return Waist(graph, tuple(map(_describe_piece, self.model.pieces(folded))))

    def _export(self, folded: nn.Module) -> ModelProto:
        return export_onnx(self.model, folded, self.size)


def open_torch(model: ReferenceModel, size: Size | None) -> TorchSource:
    """The source for `model`; with a `size`, its contract has static shapes."""
    return TorchSource(model if size is None else fix_size(model, size), size)


def run_reference(model: ReferenceModel, inputs: Sequence[ParityInput]) -> ReferenceOutputs:
    """Run the untouched module on photos; see run_on_feeds."""
    return run_on_feeds(model, inputs, [model.make_feeds(given.photo, given.edges, given.mask) for given in inputs])


def run_on_feeds(model: ReferenceModel, inputs: Sequence[NamedInput], feeds: Sequence[Tensors]) -> ReferenceOutputs:
    """Run the untouched module in float32 and float64, and on perturbed inputs in float32.

    Args:
        model: Holds the module.
        inputs: Names of the inputs.
        feeds: Their arrays.

    Raises:
        CheckpointError: an output holds NaN or infinity.
    """
    single = TorchRunner(model.module, model.inputs, model.outputs)
    perturbed = [perturb(feed) for feed in feeds]
    float32 = tuple(single.run(feed) for feed in feeds)
    for given, outputs in zip(inputs, float32, strict=True):
        fault = describe_non_finite(outputs)
        if fault is not None:
            raise CheckpointError(
                f"a net of {model.architecture}",
                f"on {given.name}: in PyTorch, {fault}",
                "Take an earlier checkpoint: this net has diverged",
            )
    float64 = _run_in_float64(model, feeds)
    return ReferenceOutputs(
        model.outputs,
        tuple(inputs),
        tuple(feeds),
        float32,
        None if isinstance(float64, str) else float64,
        tuple(
            _run_moved(model, feed) if moved is None else single.run(moved)
            for feed, moved in zip(feeds, perturbed, strict=True)
        ),
        float64 if isinstance(float64, str) else None,
        model.policies,
    )


def _run_moved(model: ReferenceModel, feeds: Tensors) -> Tensors | None:
    """The float32 outputs of a pipeline whose nets are given what differs by rounding only; None for a single net.

    What a pipeline takes is whole numbers, which cannot be moved by one float32 step; what its first piece makes of
    them can.
    """
    first, *others = model.pieces(model.module)
    if not others:
        return None

    def move(module: nn.Module, given: object, made: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        arrays = {str(i): tensor.numpy() for i, tensor in enumerate(made)}
        moved = perturb(arrays) or arrays
        return tuple(torch.from_numpy(np.ascontiguousarray(moved[name])) for name in arrays)

    hook = first.module.register_forward_hook(move)
    try:
        return TorchRunner(model.module, model.inputs, model.outputs).run(feeds)
    finally:
        hook.remove()


def _run_in_float64(model: ReferenceModel, feeds: Sequence[Tensors]) -> tuple[Tensors, ...] | str:
    """The outputs in float64, or why the module does not run so, as one that makes float32 tensors itself."""
    double = TorchRunner(copy_module(model.module).double(), model.inputs, model.outputs, np.dtype(np.float64))
    try:
        with ThinConvolutions():
            return tuple(double.run(feed) for feed in feeds)
    except Exception as error:  # of the user's own code, too
        return f"not judged: the source does not run in float64 ({describe_failure(error)})"


def _describe_piece(piece: Piece) -> GraphPiece:
    """The piece without its module; its inputs and outputs get the names that they have in the whole model's graph."""

    def rename(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
        return tuple(replace(spec, name=piece.wire(spec.name)) for spec in specs)

    return GraphPiece(rename(piece.inputs), rename(piece.outputs), piece.name)
