"""What a source gives for its parity inputs, and how a file's outputs are compared with that."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from converters.errors import BundleError, FeedError, ProfileError, UnrunnableError
from converters.parity.compare import ComparedCase, ParityReport, broadcast_hole, compare
from converters.parity.gates import GATES
from converters.runners import Runner
from converters.tensors import Tensors, TensorSpec
from reference.model import WHOLE_PLANE, OutputPolicy

# What is added to the name of a parity input that is run a second time.
AGAIN = ", again"


class NamedInput(Protocol):
    """One parity input, as a report names it."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class ReferenceOutputs:
    """What a source gives for each of its parity inputs.

    Attributes:
        outputs: Contract of the outputs.
        inputs: The parity inputs' names and hashes.
        feeds: The arrays of each parity input, by input name.
        float32: The source's outputs for each.
        float64: Its outputs in float64; None where it was not run so: then no excess error is judged.
        perturbed: Its float32 outputs on the inputs moved by one float32 step, where it was run on such.
        no_float64: Why it was not run in float64, if it should have been.
        policies: How an output is judged, by its name, if not on the whole plane by the target's gate.
        find_float64: Runs the source in float64 after all, slowly; called only where a file misses its gate. Its answer
            is None if the source does not run so.
    """

    outputs: tuple[TensorSpec, ...]
    inputs: tuple[NamedInput, ...]
    feeds: tuple[Tensors, ...]
    float32: tuple[Tensors, ...]
    float64: tuple[Tensors, ...] | None
    perturbed: tuple[Tensors | None, ...] | None = None
    no_float64: str | None = None
    policies: Mapping[str, OutputPolicy] = field(default_factory=dict)
    find_float64: Callable[[], tuple[Tensors, ...] | None] | None = None

    def compare(self, rung: str, gate: str, runner: Runner) -> list[ParityReport]:
        """Run every input in `runner` among unlike ones, then the first one again, and judge all outputs.

        A runtime may keep state from run to run: MXNet's executor keeps the weights of its first run. So a made input
        of other numbers is run before all, and the first input is run again after another one.

        Args:
            rung: The rung's name in the reports.
            gate: Name in GATES of the gate for outputs whose policy names no other.
            runner: Of the file, or of the graph on its way to one.

        Returns:
            A report on the outputs held to `gate`, then one for each group of outputs with another policy.
        """
        fitting = [i for i, feeds in enumerate(self.feeds) if not _differs_in_size(runner.inputs, feeds)]
        actual: list[tuple[int, Tensors]] = []
        if fitting:
            _run_unlike(runner, self.feeds[fitting[0]])
        for i in fitting:
            with contextlib.suppress(ProfileError):
                actual.append((i, runner.run(self.feeds[i])))
        if actual:
            first, _ = actual[0]
            if len(actual) == 1:
                _run_unlike(runner, self.feeds[first])
            actual.append((first, runner.run(self.feeds[first])))
        reports = self.compare_outputs(rung, gate, actual)
        if self.find_float64 is not None and not all(report.passed for report in reports):
            float64 = self.find_float64()
            if float64 is not None:
                return replace(self, float64=float64).compare_outputs(rung, gate, actual)
        return reports

    def select(self, i: int) -> ReferenceOutputs:
        """What the source gives for one of the inputs, in float32 only."""
        return replace(
            self,
            inputs=self.inputs[i : i + 1],
            feeds=self.feeds[i : i + 1],
            float32=self.float32[i : i + 1],
            float64=None,
            no_float64=None,
            perturbed=None,
            find_float64=None,
        )

    def compare_outputs(self, rung: str, gate: str, actual: Sequence[tuple[int, Tensors]]) -> list[ParityReport]:
        """The same for outputs that were computed already, by the place of their parity input."""
        run = {i for i, _ in actual}
        outside = tuple(given.name for i, given in enumerate(self.inputs) if i not in run)
        groups: dict[OutputPolicy, set[str]] = {}
        for names_given in ([spec.name for spec in self.outputs], self.float32[0], *(outputs for _, outputs in actual)):
            for name in names_given:
                groups.setdefault(self.policies.get(name, WHOLE_PLANE), set()).add(name)
        reports = []
        for policy, names in groups.items():
            cases = [
                self._case(i, outputs, names, policy, again=i in {earlier for earlier, _ in actual[:place]})
                for place, (i, outputs) in enumerate(actual)
            ]
            group = rung if policy.gate is None else f"{rung}, {' and '.join(sorted(names))}"
            reports.append(replace(compare(group, GATES[policy.gate or gate], cases), outside=outside))
        return sorted(reports, key=lambda report: report.rung != rung)

    def _case(self, i: int, outputs: Tensors, names: set[str], policy: OutputPolicy, *, again: bool) -> ComparedCase:
        def pick(tensors: Tensors) -> Tensors:
            return {name: array for name, array in tensors.items() if name in names}

        feeds = self.feeds[i]
        known = None if policy.known is None else feeds[policy.known]
        perturbed = None if self.perturbed is None else self.perturbed[i]
        return ComparedCase(
            f"{self.inputs[i].name}{AGAIN if again else ''}",
            pick(outputs),
            pick(self.float32[i]),
            None if self.float64 is None else pick(self.float64[i]),
            None if known is None else broadcast_hole(feeds["mask"], known),
            known,
            policy.relative,
            None if perturbed is None else pick(perturbed),
            self.find_float64 is not None,
        )


def make_unlike(feeds: Tensors) -> Tensors:
    """Arrays of the same shapes and types that differ from `feeds`: reversed along every axis, floats halved too."""
    unlike = {}
    for name, array in feeds.items():
        flipped = np.flip(array).copy()  # numpy counts one flipped element as contiguous, and torch refuses its stride
        unlike[name] = np.asarray(flipped * 0.5, array.dtype) if array.dtype.kind == "f" else flipped
    return unlike


def _run_unlike(runner: Runner, feeds: Tensors) -> None:
    with contextlib.suppress(ProfileError, FeedError, BundleError, UnrunnableError):  # the net may not take them
        runner.run(make_unlike(feeds))


def _differs_in_size(inputs: Sequence[TensorSpec], feeds: Tensors) -> bool:
    """Whether a file of static shapes is of another size than the feeds; the runner refuses another number of axes."""
    wanted = ((size, axis) for spec in inputs for size, axis in zip(feeds[spec.name].shape, spec.shape, strict=False))
    return any(isinstance(axis, int) and size != axis for size, axis in wanted)
