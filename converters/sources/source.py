"""What is converted, whatever it was read from: its contract, its answers, and its ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from converters.onnx_graph.serialize import serialize
from converters.onnx_graph.simplify import simplify
from converters.parity.expected import ReferenceOutputs
from converters.rewrites.accurate_norm import OPERATOR as NORM_OPERATOR
from converters.rewrites.accurate_norm import rewrite_accurate_norm
from converters.runners import OnnxRunner, Runner
from converters.tensors import GraphPiece, TensorSpec
from reference.model import OutputPolicy

if TYPE_CHECKING:
    from onnx import ModelProto

Size = tuple[int, int]
# Holds one rung of the ladder to its gate: (rung, name of the gate, runner).
Prove = Callable[[str, str, Runner], None]


class Model(Protocol):
    """The contract of what is converted, and how each output is judged."""

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
        """How an output is judged, by its name, if not on the whole plane by the target's gate."""
        ...


@dataclass(frozen=True)
class Waist:
    """The one graph that every target starts from.

    Attributes:
        graph: Simplified, opset 18, InstanceNormalization as an operator.
        pieces: The nets of a pipeline and what is around them, in the order in which they run; else one piece or none.
    """

    graph: ModelProto
    pieces: tuple[GraphPiece, ...] = ()


class Source(Protocol):
    """What every file of a bundle is made from and held to."""

    @property
    def model(self) -> Model: ...

    @property
    def remedy(self) -> str:
        """What to do about a file that misses its gate."""
        ...

    def run_inputs(self) -> ReferenceOutputs:
        """The source's own outputs for the inputs that a conversion is judged on."""
        ...

    def run_golden(self, avoid: Collection[str]) -> ReferenceOutputs:
        """The source's own outputs for the one case that is packed with the bundle.

        Args:
            avoid: Names of parity inputs that are not to be packed.

        Raises:
            ParityError: every input is to be avoided.
        """
        ...

    def build_waist(self, prove: Prove, report_progress: Callable[[str], None]) -> Waist:
        """The graph that every target starts from; each step to it is proven."""
        ...


def open_graph(graph: ModelProto, model: Model) -> Runner:
    """ONNX Runtime on a graph as it is."""
    return OnnxRunner(serialize(graph), model.inputs, model.outputs)


def open_accurate(graph: ModelProto, model: Model) -> Runner:
    """ONNX Runtime on a graph with its norms spelled out, as the ONNX file has them."""
    return open_graph(rewrite_accurate_norm(graph), model)


def prove_waist(
    rung: str, graph: ModelProto, norm_gate: str, model: Model, prove: Prove, report_progress: Callable[[str], None]
) -> ModelProto:
    """Simplify a graph that was just exported or imported, and prove it before, after, and with its norms spelled out.

    Args:
        rung: The name of the rung that gave `graph`.
        graph: The exported or imported graph.
        norm_gate: The gate for ONNX Runtime's own norm operator against the source's.
        model: Contract of the graph.
        prove: Holds a rung to its gate.
        report_progress: Told of each step as it begins.

    Returns:
        The simplified graph, its norms still operators.
    """
    has_norms = any(node.op_type == NORM_OPERATOR for node in graph.graph.node)
    gate = norm_gate if has_norms else "onnx"
    prove(rung, gate, open_graph(graph, model))

    report_progress("simplifying")
    simplified = simplify(graph)
    prove("simplify", gate, open_graph(simplified, model))
    if has_norms:
        prove("accurate norm", "onnx", open_accurate(simplified, model))
    return simplified
