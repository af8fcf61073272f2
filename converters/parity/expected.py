"""What a model gives for its parity inputs, and how a file that runs elsewhere is held to it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from converters.errors import CheckpointError, ProfileError
from converters.parity.compare import ComparedCase, ParityReport, broadcast_hole, compare
from converters.parity.gates import GATES
from converters.parity.inputs import SEED, ParityInput
from converters.runners import Runner, TorchRunner
from converters.tensors import Tensors, TensorSpec
from reference.model import OutputPolicy, ReferenceModel


class Model(Protocol):
    """What is converted, whatever it was read from: its contract, and how each output is judged."""

    @property
    def architecture(self) -> str: ...

    @property
    def hyperparameters(self) -> Mapping[str, int]: ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def judging(self) -> Mapping[str, OutputPolicy]: ...

    def policy_of(self, output: str) -> OutputPolicy: ...


class NamedInput(Protocol):
    """One parity input, as a report names it."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class ReferenceOutputs:
    """Parity inputs of one model, and what the standard that files are held to gives for them.

    Attributes:
        float32: Its outputs.
        float64: Its outputs in float64, None where it cannot be run so: then no excess error is judged.
        perturbed: Its float32 outputs on the inputs moved by one float32 step, where it was run on such.
        find_float64: Runs it in float64 after all, slowly, or gives None; asked where a file misses its gate.
    """

    model: Model
    inputs: tuple[NamedInput, ...]
    feeds: tuple[Tensors, ...]
    float32: tuple[Tensors, ...]
    float64: tuple[Tensors, ...] | None
    perturbed: tuple[Tensors | None, ...] | None = None
    find_float64: Callable[[], tuple[Tensors, ...] | None] | None = None

    def compare(self, rung: str, gate: str, runner: Runner) -> list[ParityReport]:
        """Run every input in `runner`; a report on the outputs judged by GATES[gate], then on each with its own."""
        actual: dict[int, Tensors] = {}
        for i, feeds in enumerate(self.feeds):
            if _differs_in_size(runner.inputs, feeds):
                continue
            with contextlib.suppress(ProfileError):
                actual[i] = runner.run(feeds)
        reports = self._compare(rung, gate, actual)
        if self.find_float64 is not None and not all(report.passed for report in reports):
            float64 = self.find_float64()
            if float64 is not None:
                return replace(self, float64=float64)._compare(rung, gate, actual)
        return reports

    def _compare(self, rung: str, gate: str, actual: Mapping[int, Tensors]) -> list[ParityReport]:
        outside = tuple(given.name for i, given in enumerate(self.inputs) if i not in actual)
        reports = []
        for judging in dict.fromkeys(self.model.policy_of(spec.name) for spec in self.model.outputs):
            names = {name for outputs in (self.float32[0], *actual.values()) for name in outputs}
            names = {name for name in names if self.model.policy_of(name) == judging}
            cases = [self._case(i, outputs, names, judging) for i, outputs in actual.items()]
            own = rung if judging.gate is None else f"{rung}, {' and '.join(sorted(names))}"
            reports.append(replace(compare(own, GATES[judging.gate or gate], cases), outside=outside))
        return sorted(reports, key=lambda report: report.rung != rung)

    def _case(self, i: int, outputs: Tensors, names: set[str], judging: OutputPolicy) -> ComparedCase:
        def pick(tensors: Tensors) -> Tensors:
            return {name: array for name, array in tensors.items() if name in names}

        feeds = self.feeds[i]
        known = None if judging.known is None else feeds[judging.known]
        perturbed = None if self.perturbed is None else self.perturbed[i]
        return ComparedCase(
            self.inputs[i].name,
            pick(outputs),
            pick(self.float32[i]),
            None if self.float64 is None else pick(self.float64[i]),
            None if known is None else broadcast_hole(feeds["mask"], known),
            known,
            judging.relative,
            None if perturbed is None else pick(perturbed),
            self.find_float64 is not None,
        )


def _differs_in_size(inputs: Sequence[TensorSpec], feeds: Tensors) -> bool:
    """Whether a file of static shapes is of another size than the feeds."""
    wanted = ((size, axis) for spec in inputs for size, axis in zip(feeds[spec.name].shape, spec.shape, strict=True))
    return any(isinstance(axis, int) and size != axis for size, axis in wanted)


def run_reference(model: ReferenceModel, inputs: Sequence[ParityInput]) -> ReferenceOutputs:
    """What the untouched module gives for `inputs`, in float32 and in float64.

    Raises:
        CheckpointError: it gives values that are not finite.
    """
    feeds = tuple(model.make_feeds(given.photo, given.edges, given.mask) for given in inputs)
    single = TorchRunner(model.module, model.inputs, model.outputs)
    double = TorchRunner(copy.deepcopy(model.module).double(), model.inputs, model.outputs)
    perturbed = [perturb(feed) for feed in feeds]
    float32 = tuple(single.run(feed) for feed in feeds)
    for given, outputs in zip(inputs, float32, strict=True):
        for name, array in outputs.items():
            count = int(np.count_nonzero(~np.isfinite(array)))
            if count:
                met = f"on {given.name}: in PyTorch, {count} values of its output '{name}' are NaN or infinite"
                remedy = "Take an earlier checkpoint: this net has diverged"
                raise CheckpointError(f"a net of {model.architecture}", met, remedy)
    return ReferenceOutputs(
        model,
        tuple(inputs),
        feeds,
        float32,
        tuple(double.run(feed) for feed in feeds),
        tuple(None if feed is None else single.run(feed) for feed in perturbed),
    )


def perturb(feeds: Tensors) -> Tensors | None:
    """The feeds with every number between 0 and 1 moved up or down by one float32 step, or not at all, by a seed.

    Masks and edges are 0 and 1 and stay so. None if nothing moved.
    """
    random = np.random.default_rng(SEED)
    moved = {}
    for name, array in feeds.items():
        if array.dtype == np.float32:
            inside = (array > 0) & (array < 1)
            towards = random.integers(-1, 2, array.shape).astype(np.float32)
            moved[name] = np.where(inside, np.nextafter(array, array + towards), array)
        else:
            moved[name] = array
    return moved if any((moved[name] != feeds[name]).any() for name in feeds) else None
