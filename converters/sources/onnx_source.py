"""The source made from an ONNX file: the untouched file in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from onnx import TensorProto

from converters.errors import ConversionError, ParityError, explain_unforeseen
from converters.onnx_graph.nodes import WAIST_OPSET
from converters.parity.compare import DO_NOT_USE
from converters.parity.expected import NamedInput, ReferenceOutputs
from converters.sources.import_onnx import build_waist, fix_sizes
from converters.sources.least_size import find_least_size
from converters.sources.onnx_file import OnnxFile
from converters.sources.onnx_inputs import OnnxInput, read_inputs, run_cases, seeded_inputs
from converters.sources.source import Prove, Size, Waist, describe_non_finite, prove_waist
from converters.tensors import Tensors, TensorSpec
from reference.model import OutputPolicy

ONNX_ARCHITECTURE = "onnx"
# Files below this opset are rare, and ONNX's converter is not exact for all of them: their rung tells what it did.
COMMON_OPSET = 9


@dataclass(frozen=True)
class OnnxModel:
    """The contract of an ONNX file. The value ranges of its outputs are not known, so their errors are relative."""

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
        file: The ONNX file.
        size: (H, W) for static shapes; None leaves free axes free.
        npz: An .npz file with the arrays to judge on; None for seeded random numbers.

    Raises:
        ConversionError: the file does not accept `size`.
    """

    file: OnnxFile
    size: Size | None = None
    npz: Path | None = None

    def __post_init__(self) -> None:
        fix_sizes(self.file, self.size)

    @cached_property
    def model(self) -> OnnxModel:
        """The file's contract. A size that an output turns out not to have in a run becomes a free axis.

        Free axes are at least as long as the windows of pools and convolutions need them.
        """
        inputs, outputs = fix_sizes(self.file, self.size)
        for case, arrays in zip(self._cases, self._outputs, strict=True):
            sizes = {
                axis: size
                for spec in inputs
                for axis, size in zip(spec.shape, case.feeds[spec.name].shape, strict=True)
                if isinstance(axis, str)
            }
            outputs = tuple(_correct_shape(spec, arrays[spec.name].shape, sizes) for spec in outputs)
        least = 1 if self.size is not None else find_least_size(self.file.model)
        inputs = tuple(replace(spec, minimum=least) if len(spec.shape) > 2 else spec for spec in inputs)
        return OnnxModel(inputs, outputs)

    @property
    def remedy(self) -> str:
        if self.file.computes_in(TensorProto.FLOAT16):
            return "It computes in float16, of which runtimes round the third digit differently: export it in float32"
        return DO_NOT_USE

    @cached_property
    def _cases(self) -> tuple[OnnxInput, ...]:
        inputs, _ = fix_sizes(self.file, self.size)
        return seeded_inputs(self.file, inputs) if self.npz is None else read_inputs(self.npz, self.file, inputs)

    @cached_property
    def _outputs(self) -> tuple[Tensors, ...]:
        """The file's outputs for each case."""
        return run_cases(self.file, self._cases)

    @cached_property
    def _outputs_float64(self) -> tuple[Tensors, ...] | None:
        """The same in float64; None if any case cannot be run so, gives other shapes, or gives NaN or infinity."""
        results: list[Tensors] = []
        for case, float32 in zip(self._cases, self._outputs, strict=True):
            outputs = self.file.run_float64(case.feeds)
            if outputs is None or any(outputs[name].shape != array.shape for name, array in float32.items()):
                return None
            if describe_non_finite(outputs) is not None:
                return None
            results.append(outputs)
        return tuple(results)

    def run_inputs(self) -> ReferenceOutputs:
        return replace(self._make_reference(slice(None)), find_float64=lambda: self._outputs_float64)

    def run_golden(self, avoid: Collection[str]) -> ReferenceOutputs:
        for i, case in enumerate(self._cases):
            if case.name not in avoid:
                return self._make_reference(slice(i, i + 1))
        raise ParityError(
            self.file.path,
            "float32 is in doubt on every input, so that no golden case can be packed",
            "Give others with --inputs FILE.npz",
        )

    def _make_reference(self, chosen: slice) -> ReferenceOutputs:
        cases: tuple[NamedInput, ...] = self._cases[chosen]
        feeds = tuple(case.feeds for case in self._cases[chosen])
        outputs = self._outputs[chosen]
        return ReferenceOutputs(self.model.outputs, cases, feeds, outputs, None, policies=self.model.policies)

    def build_waist(self, prove: Prove, report_progress: Callable[[str], None]) -> Waist:
        if self.file.opset_run != self.file.opset:
            rung = f"opset {self.file.opset} to {self.file.opset_run}"
            prove(rung, "onnx", _ReferenceRunner(self.file, self.model.inputs, self.model.outputs))
        report_progress("bringing it to the opset that targets start from")
        with explain_unforeseen(ConversionError, self.file.path):
            imported = build_waist(self.file, self.size)
        rung = f"opset {self.file.opset_run} to {WAIST_OPSET}" if self.file.opset < COMMON_OPSET else "import"
        return Waist(prove_waist(rung, imported, "onnx", self.model, prove, report_progress, accurate_means=False))


@dataclass(frozen=True)
class _ReferenceRunner:
    """onnx's reference implementation on the untouched file."""

    file: OnnxFile
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Tensors) -> Tensors:
        """Compute the outputs, by name.

        Raises:
            ConversionError: the reference implementation does not run the file.
        """
        results = self.file.run_float32(feeds)
        if results is None:
            met = (
                f"ONNX Runtime does not load its opset {self.file.opset}, and onnx's own implementation does not run it"
            )
            raise ConversionError(self.file.path, met, f"Export it at opset {WAIST_OPSET}")
        return results

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


def _correct_shape(spec: TensorSpec, actual: Sequence[int], sizes: Mapping[str, int]) -> TensorSpec:
    """`spec` with a new free axis in place of every axis that a run contradicts.

    Args:
        spec: An output, as the file describes it.
        actual: Its shape in the run.
        sizes: Sizes of the inputs' free axes in that run, by axis name.
    """
    free_axes = tuple(f"{spec.name}_axis_{index}" for index in range(len(actual)))
    if len(spec.shape) != len(actual):
        return replace(spec, shape=free_axes)

    def holds(axis: int | str, size: int) -> bool:
        return size == (axis if isinstance(axis, int) else sizes.get(axis, size))

    described = zip(spec.shape, actual, free_axes, strict=True)
    return replace(spec, shape=tuple(axis if holds(axis, size) else free for axis, size, free in described))
