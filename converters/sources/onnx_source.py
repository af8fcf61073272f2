"""The standards that files are held to: a checkpoint's torch module, untouched, or an ONNX file in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from converters.errors import ParityError
from converters.onnx_graph.simplify import simplify
from converters.parity.compare import DO_NOT_USE
from converters.parity.expected import Model, NamedInput, ReferenceOutputs, run_reference
from converters.parity.inputs import golden_input, short_inputs
from converters.rewrites.accurate_norm import rewrite_accurate_norm
from converters.runners import OnnxRunner, Runner, TorchRunner
from converters.sources.export_torch import export_onnx, fix_size
from converters.sources.import_onnx import build_waist, fix_sizes
from converters.sources.onnx_file import OnnxFile
from converters.sources.onnx_inputs import OnnxInput, read_inputs, run_source, seeded_inputs
from converters.sources.spectral_norm import fold_spectral_norm
from converters.targets.onnx.write import serialize
from converters.tensors import Tensors, TensorSpec
from reference.model import OutputPolicy, ReferenceModel

if TYPE_CHECKING:
    from onnx import ModelProto

    from reference.model import Piece

Size = tuple[int, int]
ONNX_ARCHITECTURE = "onnx"
# Holds one rung of the ladder to its gate: (rung, gate, runner).
Prove = Callable[[str, str, Runner], None]


@dataclass(frozen=True)
class Waist:
    """The graph that every target starts from, and the pieces that the model is made of."""

    graph: ModelProto
    pieces: tuple[Piece, ...] = ()


class Standard(Protocol):
    """What every file of a bundle is held to."""

    @property
    def model(self) -> Model: ...

    @property
    def remedy(self) -> str:
        """What to do about a file that misses its gate."""
        ...

    def expect(self) -> ReferenceOutputs:
        """What it gives for the inputs that a conversion is judged on."""
        ...

    def expect_golden(self, avoid: Collection[str]) -> ReferenceOutputs:
        """What it gives for the case that is packed with the bundle, none of these names.

        Raises:
            ParityError: there is no other.
        """
        ...

    def build_waist(self, prove: Prove, report_progress: Callable[[str], None]) -> Waist:
        """The waist, each step to it proven."""
        ...


@dataclass(frozen=True)
class TorchSource:
    """The untouched module of one or several checkpoints; `size` is that of static shapes."""

    model: ReferenceModel
    size: Size | None = None
    remedy: str = DO_NOT_USE

    def expect(self) -> ReferenceOutputs:
        return run_reference(self.model, short_inputs(self.model.inputs, self.size))

    def expect_golden(self, avoid: Collection[str]) -> ReferenceOutputs:
        return run_reference(self.model, [golden_input(self.model.inputs, self.size)])

    def build_waist(self, prove: Prove, report_progress: Callable[[str], None]) -> Waist:
        report_progress("folding spectral norm")
        folded = fold_spectral_norm(self.model.module)
        prove("fold", "fold", TorchRunner(folded, self.model.inputs, self.model.outputs))

        report_progress("exporting to ONNX")
        exported = export_onnx(self.model, folded, self.size)
        prove("export", "onnx", open_waist(exported, self.model))

        report_progress("simplifying")
        waist = simplify(exported)
        prove("simplify", "onnx", open_waist(waist, self.model))
        return Waist(waist, self.model.pieces(folded))


@dataclass(frozen=True)
class OnnxModel:
    """What an ONNX file says of itself: its outputs' ranges are not known."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    architecture: str = ONNX_ARCHITECTURE
    hyperparameters: Mapping[str, int] = field(default_factory=dict)

    @property
    def judging(self) -> Mapping[str, OutputPolicy]:
        return {spec.name: self.policy_of(spec.name) for spec in self.outputs}

    def policy_of(self, output: str) -> OutputPolicy:
        return OutputPolicy(relative=True)


@dataclass(frozen=True)
class OnnxSource:
    """ONNX Runtime on the untouched file.

    Attributes:
        source: The file.
        size: Of static shapes.
        given: An .npz file to judge on, instead of seeded numbers.

    Raises:
        ConversionError: the file is not of that size.
    """

    source: OnnxFile
    size: Size | None = None
    given: Path | None = None

    def __post_init__(self) -> None:
        fix_sizes(self.source, self.size)

    @cached_property
    def model(self) -> OnnxModel:
        """The file's contract, its outputs' shapes as far as they are true of what it gives."""
        inputs, outputs = fix_sizes(self.source, self.size)
        for case, given in zip(self._cases, self._outputs, strict=True):
            sizes = {
                axis: size
                for spec in inputs
                for axis, size in zip(spec.shape, case.feeds[spec.name].shape, strict=True)
                if isinstance(axis, str)
            }
            outputs = tuple(_correct_shape(spec, given[spec.name].shape, sizes) for spec in outputs)
        return OnnxModel(inputs, outputs)

    @property
    def remedy(self) -> str:
        if self.source.computes_in_float16:
            return "It computes in float16, of which runtimes round the third digit differently: export it in float32"
        return DO_NOT_USE

    @cached_property
    def _cases(self) -> tuple[OnnxInput, ...]:
        inputs, _ = fix_sizes(self.source, self.size)
        if self.given is not None:
            return read_inputs(self.given, self.source, inputs)
        return seeded_inputs(self.source, inputs)

    @cached_property
    def _outputs(self) -> tuple[Tensors, ...]:
        return tuple(run_source(self.source, self._cases))

    def expect(self) -> ReferenceOutputs:
        return replace(self._expect(self._cases, self._outputs), find_float64=lambda: self._float64)

    def expect_golden(self, avoid: Collection[str]) -> ReferenceOutputs:
        chosen = next((i for i, case in enumerate(self._cases) if case.name not in avoid), None)
        if chosen is None:
            raise ParityError(
                self.source.path, "every input passed by its excess error alone", "Give others with --inputs FILE.npz"
            )
        return self._expect(self._cases[chosen : chosen + 1], self._outputs[chosen : chosen + 1])

    def _expect(self, cases: tuple[OnnxInput, ...], outputs: tuple[Tensors, ...]) -> ReferenceOutputs:
        inputs: tuple[NamedInput, ...] = cases
        feeds = tuple(case.feeds for case in cases)
        return ReferenceOutputs(self.model, inputs, feeds, outputs, None)

    @cached_property
    def _float64(self) -> tuple[Tensors, ...] | None:
        """Of every case; None where that is not of the same shapes, not finite, or not in float64 throughout."""
        found: list[Tensors] = []
        for case, float32 in zip(self._cases, self._outputs, strict=True):
            outputs = self.source.run_float64(case.feeds)
            if outputs is None or any(outputs[name].shape != array.shape for name, array in float32.items()):
                return None
            if not all(np.isfinite(array).all() for array in outputs.values()):
                return None
            found.append(outputs)
        return tuple(found)

    def build_waist(self, prove: Prove, report_progress: Callable[[str], None]) -> Waist:
        report_progress("bringing it to the opset that targets start from")
        imported = build_waist(self.source, self.size)
        # With the runtime's own norms, as the file has them: their scale may be a constant only once it is simplified.
        prove("import", "onnx", OnnxRunner(serialize(imported), self.model.inputs, self.model.outputs))

        report_progress("simplifying")
        waist = simplify(imported)
        prove("simplify", "onnx", open_waist(waist, self.model))
        return Waist(waist)


def _correct_shape(spec: TensorSpec, given: Sequence[int], sizes: Mapping[str, int]) -> TensorSpec:
    """`spec` with a name of its own for every axis that a run shows to be of another size than it says."""
    if len(spec.shape) != len(given):
        return replace(spec, shape=tuple(f"{spec.name}_axis_{axis}" for axis in range(len(given))))
    return replace(
        spec,
        shape=tuple(
            said if (sizes.get(said, size) if isinstance(said, str) else said) == size else f"{spec.name}_axis_{axis}"
            for axis, (said, size) in enumerate(zip(spec.shape, given, strict=True))
        ),
    )


def open_torch(model: ReferenceModel, size: Size | None) -> TorchSource:
    """The standard of a checkpoint, or of several; with a size, of static shapes."""
    return TorchSource(model if size is None else fix_size(model, size), size)


def open_waist(waist: ModelProto, model: Model) -> Runner:
    """ONNX Runtime on a waist, its norms spelled out: the runtime's own norm operator is not accurate enough."""
    return OnnxRunner(serialize(rewrite_accurate_norm(waist)), model.inputs, model.outputs)
