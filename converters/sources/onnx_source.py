"""An ONNX file that somebody made, run untouched in ONNX Runtime, as what its files are made from and held to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from converters.errors import ParityError
from converters.parity.compare import DO_NOT_USE
from converters.parity.expected import NamedInput, ReferenceOutputs
from converters.sources.import_onnx import build_waist, fix_sizes
from converters.sources.onnx_file import OnnxFile
from converters.sources.onnx_inputs import OnnxInput, read_inputs, run_source, seeded_inputs
from converters.sources.source import Prove, Size, Waist, prove_waist
from converters.tensors import Tensors, TensorSpec
from reference.model import OutputPolicy

ONNX_ARCHITECTURE = "onnx"


@dataclass(frozen=True)
class OnnxModel:
    """The contract of an ONNX file. The ranges of its outputs are not known, so errors are relative."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    architecture: str = ONNX_ARCHITECTURE
    hyperparameters: Mapping[str, int] = field(default_factory=dict)

    @property
    def policies(self) -> Mapping[str, OutputPolicy]:
        return {spec.name: OutputPolicy(relative=True) for spec in self.outputs}


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

    def run_inputs(self) -> ReferenceOutputs:
        return replace(self._expect(self._cases, self._outputs), find_float64=lambda: self._float64)

    def run_golden(self, avoid: Collection[str]) -> ReferenceOutputs:
        chosen = next((i for i, case in enumerate(self._cases) if case.name not in avoid), None)
        if chosen is None:
            raise ParityError(
                self.source.path, "every input passed by its excess error alone", "Give others with --inputs FILE.npz"
            )
        return self._expect(self._cases[chosen : chosen + 1], self._outputs[chosen : chosen + 1])

    def _expect(self, cases: tuple[OnnxInput, ...], outputs: tuple[Tensors, ...]) -> ReferenceOutputs:
        inputs: tuple[NamedInput, ...] = cases
        feeds = tuple(case.feeds for case in cases)
        return ReferenceOutputs(self.model.outputs, inputs, feeds, outputs, None, policies=self.model.policies)

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
        return Waist(prove_waist("import", imported, "onnx", self.model, prove, report_progress))


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
