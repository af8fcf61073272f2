"""What a source gives for its parity inputs, and how a file's outputs are compared with that."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from converters.errors import ProfileError
from converters.parity.compare import ComparedCase, ParityReport, broadcast_hole, compare
from converters.parity.gates import GATES
from converters.runners import Runner
from converters.tensors import Tensors, TensorSpec
from reference.model import WHOLE_PLANE, OutputPolicy


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
        float64: Its outputs in float64; None where it cannot be run so: then no excess error is judged.
        perturbed: Its float32 outputs on the inputs moved by one float32 step, where it was run on such.
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
    policies: Mapping[str, OutputPolicy] = field(default_factory=dict)
    find_float64: Callable[[], tuple[Tensors, ...] | None] | None = None

    def compare(self, rung: str, gate: str, runner: Runner) -> list[ParityReport]:
        """Run every input in `runner`, and judge its outputs.

        Args:
            rung: The rung's name in the reports.
            gate: Name in GATES of the gate for outputs whose policy names no other.
            runner: Of the file, or of the graph on its way to one.

        Returns:
            A report on the outputs held to `gate`, then one for each group of outputs with another policy.
        """
        actual: dict[int, Tensors] = {}
        for i, feeds in enumerate(self.feeds):
            if _differs_in_size(runner.inputs, feeds):
                continue
            with contextlib.suppress(ProfileError):
                actual[i] = runner.run(feeds)
        reports = self.compare_outputs(rung, gate, actual)
        if self.find_float64 is not None and not all(report.passed for report in reports):
            float64 = self.find_float64()
            if float64 is not None:
                return replace(self, float64=float64).compare_outputs(rung, gate, actual)
        return reports

    def compare_outputs(self, rung: str, gate: str, actual: Mapping[int, Tensors]) -> list[ParityReport]:
        """The same for outputs that were computed already, by the place of their parity input."""
        outside = tuple(given.name for i, given in enumerate(self.inputs) if i not in actual)
        groups: dict[OutputPolicy, set[str]] = {}
        for names_given in ([spec.name for spec in self.outputs], self.float32[0], *actual.values()):
            for name in names_given:
                groups.setdefault(self.policies.get(name, WHOLE_PLANE), set()).add(name)
        reports = []
        for policy, names in groups.items():
            cases = [self._case(i, outputs, names, policy) for i, outputs in actual.items()]
            group = rung if policy.gate is None else f"{rung}, {' and '.join(sorted(names))}"
            reports.append(replace(compare(group, GATES[policy.gate or gate], cases), outside=outside))
        return sorted(reports, key=lambda report: report.rung != rung)

    def _case(self, i: int, outputs: Tensors, names: set[str], policy: OutputPolicy) -> ComparedCase:
        def pick(tensors: Tensors) -> Tensors:
            return {name: array for name, array in tensors.items() if name in names}

        feeds = self.feeds[i]
        known = None if policy.known is None else feeds[policy.known]
        perturbed = None if self.perturbed is None else self.perturbed[i]
        return ComparedCase(
            self.inputs[i].name,
            pick(outputs),
            pick(self.float32[i]),
            None if self.float64 is None else pick(self.float64[i]),
            None if known is None else broadcast_hole(feeds["mask"], known),
            known,
            policy.relative,
            None if perturbed is None else pick(perturbed),
            self.find_float64 is not None,
        )


def _differs_in_size(inputs: Sequence[TensorSpec], feeds: Tensors) -> bool:
    """Whether a file of static shapes is of another size than the feeds; the runner refuses another number of axes."""
    wanted = ((size, axis) for spec in inputs for size, axis in zip(feeds[spec.name].shape, spec.shape, strict=False))
    return any(isinstance(axis, int) and size != axis for size, axis in wanted)
