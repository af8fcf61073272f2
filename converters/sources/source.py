"""The interface of a source: its contract, its outputs, and its ONNX graph; and the rungs that every source shares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from converters.onnx_graph.serialize import serialize
from converters.onnx_graph.simplify import simplify
from converters.parity.expected import ReferenceOutputs
from converters.rewrites.accurate_mean import rewrite_accurate_mean
from converters.rewrites.accurate_norm import OPERATOR as NORM_OPERATOR
from converters.rewrites.accurate_norm import rewrite_accurate_norm
from converters.runners import OnnxRunner, Runner
from converters.tensors import GraphPiece, Tensors, TensorSpec
from reference.model import OutputPolicy

if TYPE_CHECKING:
    from onnx import ModelProto

Size = tuple[int, int]
# In a manifest: what the bundle of a module of the user's own is of.
MODULE_ARCHITECTURE = "module"
MODULE_LICENSE_NOTE = "The module's and its weights' licence covers these files too; ganport does not know it."
# Takes a rung's name, the name of a gate in GATES, and a runner; raises ParityError if the runner misses the gate.
Prove = Callable[[str, str, Runner], None]


class Model(Protocol):
    """The contract of a source, and how each output is judged."""

    @property
    def architecture(self) -> str: ...

    @property
    def hyperparameters(self) -> Mapping[str, int]: ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def policies(self) -> Mapping[str, OutputPolicy]:
        """By output name; an output without a policy is judged on the whole plane by the target's gate."""
        ...


@dataclass(frozen=True)
class Waist:
    """The one graph that every target starts from.

    Attributes:
        graph: Simplified, opset 18, with InstanceNormalization nodes.
        pieces: The parts of a pipeline (its nets and the computations around them) in the order in which they run; one
            or none for a single net.
    """

    graph: ModelProto
    pieces: tuple[GraphPiece, ...] = ()


class Source(Protocol):
    """A torch module or an ONNX file: what is converted, and what every file of the bundle is compared with."""

    @property
    def model(self) -> Model: ...

    @property
    def remedy(self) -> str:
        """Advice for the error message if a file misses its gate."""
        ...

    def run_inputs(self) -> ReferenceOutputs:
        """The source's own outputs for the inputs that a conversion is judged on."""
        ...

    def run_golden(self, avoid: Collection[str]) -> ReferenceOutputs:
        """The source's own outputs for the golden case.

        Args:
            avoid: Names of parity inputs that must not become the golden case.

        Raises:
            ParityError: no other input is left.
        """
        ...

    def build_waist(self, prove: Prove, report_progress: Callable[[str], None]) -> Waist:
        """Make the graph that every target starts from, and prove each step on the way.

        Args:
            prove: Compares a step's result with the source.
            report_progress: Called with a description of each step before it begins.
        """
        ...


def describe_non_finite(outputs: Tensors) -> str | None:
    """Count the NaN and infinite values of the first output that holds any, for an error message.

    Returns:
        A clause without full stop; None if all values of all outputs are finite.
    """
    for name, array in outputs.items():
        count = int(np.count_nonzero(~np.isfinite(array)))
        if count:
            return f"{count} values of its output '{name}' are NaN or infinite"
    return None


def open_graph(graph: ModelProto, model: Model) -> Runner:
    """The graph in ONNX Runtime, norms and means computed by the runtime's own kernels."""
    return OnnxRunner(serialize(graph), model.inputs, model.outputs)


def open_accurate(graph: ModelProto, model: Model) -> Runner:
    """The graph in ONNX Runtime, with norms spelled out as in the ONNX file that ships."""
    return open_graph(rewrite_accurate_norm(graph), model)


def prove_waist(
    rung: str,
    graph: ModelProto,
    runtime_gate: str,
    model: Model,
    prove: Prove,
    report_progress: Callable[[str], None],
    *,
    accurate_means: bool,
) -> ModelProto:
    """Prove an exported or imported graph; simplify it, and prove the result, also with norms and means spelled out.

    Args:
        rung: Name of the first rung: "export" or "import".
        graph: The exported or imported graph.
        runtime_gate: Gate of the graphs that compute a norm or a mean in ONNX Runtime's own kernel and are spelled out
            later.
        model: Contract of the graph.
        prove: Compares a rung's graph with the source.
        report_progress: Called with a description of each step before it begins.
        accurate_means: Whether to spell out means over planes. Not where ONNX Runtime's own are what is to be matched.

    Returns:
        The simplified graph, its means spelled out if asked for, still with InstanceNormalization nodes.
    """
    has_norms = any(node.op_type == NORM_OPERATOR for node in graph.graph.node)
    has_means = accurate_means and rewrite_accurate_mean(graph) is not graph
    prove(rung, runtime_gate if has_norms or has_means else "onnx", open_graph(graph, model))

    report_progress("simplifying")
    simplified = simplify(graph)
    waist = rewrite_accurate_mean(simplified) if accurate_means else simplified
    rungs = [("simplify", simplified)]
    if has_norms:
        rungs.append(("accurate norm", rewrite_accurate_norm(simplified)))
    if waist is not simplified:
        rungs.append(("accurate mean", rewrite_accurate_norm(waist)))
    for name, rewritten in rungs[:-1]:
        prove(name, runtime_gate, open_graph(rewritten, model))
    prove(rungs[-1][0], "onnx", open_graph(rungs[-1][1], model))
    return waist
