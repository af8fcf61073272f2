"""The standards that files are held to: a checkpoint's torch module, untouched, or an ONNX file in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from converters.expected import Expected, Given, Model, run_reference
from converters.from_onnx import (
    OnnxFile,
    SeededInput,
    build_waist,
    fix_sizes,
    read_inputs,
    run_source,
    seeded_inputs,
)
from converters.from_torch import export_onnx, fix_size
from converters.parity_inputs import golden_input, short_inputs
from converters.rewrites.accurate_norm import rewrite_accurate_norm
from converters.runners import OnnxRunner, Runner, TorchRunner
from converters.simplify import simplify
from converters.spectral_norm import fold_spectral_norm
from converters.tensors import TensorSpec
from converters.to_onnx import serialize
from reference import Judging, ReferenceModel

if TYPE_CHECKING:
    from onnx import ModelProto

    from reference import Piece

Size = tuple[int, int]
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

    def expect(self) -> Expected:
        """What it gives for the inputs that a conversion is judged on."""
        ...

    def expect_golden(self) -> Expected:
        """What it gives for the case that is packed with the bundle."""
        ...

    def build_waist(self, prove: Prove, say: Callable[[str], None]) -> Waist:
        """The waist, each step to it proven."""
        ...


@dataclass(frozen=True)
class TorchStandard:
    """The untouched module of one or several checkpoints; `size` is that of static shapes."""

    model: ReferenceModel
    size: Size | None = None

    def expect(self) -> Expected:
        return run_reference(self.model, short_inputs(self.model.inputs, self.size))

    def expect_golden(self) -> Expected:
        return run_reference(self.model, [golden_input(self.model.inputs, self.size)])

    def build_waist(self, prove: Prove, say: Callable[[str], None]) -> Waist:
        say("folding spectral norm")
        folded = fold_spectral_norm(self.model.module)
        prove("fold", "fold", TorchRunner(folded, self.model.inputs, self.model.outputs))

        say("exporting to ONNX")
        exported = export_onnx(self.model, folded, self.size)
        prove("export", "onnx", open_waist(exported, self.model))

        say("simplifying")
        waist = simplify(exported)
        prove("simplify", "onnx", open_waist(waist, self.model))
        return Waist(waist, self.model.pieces(folded))


@dataclass(frozen=True)
class OnnxModel:
    """What an ONNX file says of itself: its outputs' ranges are not known."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    architecture: str = "onnx"
    hyperparameters: Mapping[str, int] = field(default_factory=dict)

    @property
    def judging(self) -> Mapping[str, Judging]:
        return {spec.name: self.judging_of(spec.name) for spec in self.outputs}

    def judging_of(self, output: str) -> Judging:
        return Judging(relative=True)


@dataclass(frozen=True)
class OnnxStandard:
    """ONNX Runtime on the untouched file.

    Attributes:
        source: The file.
        size: Of static shapes.
        given: An .npz file to judge on, instead of seeded numbers.
    """

    source: OnnxFile
    size: Size | None = None
    given: Path | None = None

    @property
    def model(self) -> OnnxModel:
        return OnnxModel(fix_sizes(self.source.inputs, self.size), self.source.outputs)

    def cases(self) -> tuple[SeededInput, ...]:
        if self.given is not None:
            return read_inputs(self.given, self.source)
        return seeded_inputs(self.model.inputs)

    def expect(self) -> Expected:
        return self.run(self.cases())

    def expect_golden(self) -> Expected:
        return self.run(self.cases()[:1])

    def run(self, cases: Sequence[SeededInput]) -> Expected:
        inputs: tuple[Given, ...] = tuple(cases)
        outputs = tuple(run_source(self.source, cases))
        return Expected(self.model, inputs, tuple(case.feeds for case in cases), outputs, None)

    def build_waist(self, prove: Prove, say: Callable[[str], None]) -> Waist:
        say("bringing it to the opset that targets start from")
        imported = build_waist(self.source, self.size)
        prove("import", "onnx", open_waist(imported, self.model))

        say("simplifying")
        waist = simplify(imported)
        prove("simplify", "onnx", open_waist(waist, self.model))
        return Waist(waist)


def open_torch(model: ReferenceModel, size: Size | None) -> TorchStandard:
    """The standard of a checkpoint, or of several; with a size, of static shapes."""
    return TorchStandard(model if size is None else fix_size(model, size), size)


def open_waist(waist: ModelProto, model: Model) -> Runner:
    """ONNX Runtime on a waist, its norms spelled out: the runtime's own norm operator is not accurate enough."""
    return OnnxRunner(serialize(rewrite_accurate_norm(waist)), model.inputs, model.outputs)
