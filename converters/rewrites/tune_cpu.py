"""`--tune cpu`: the rewrites that make a graph fast on a CPU. Each result is compared with the source on its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from converters.rewrites.block_convolution import rewrite_block_convolution
from converters.rewrites.cancelled_bias import rewrite_cancelled_bias
from converters.rewrites.choices import ConvolutionChoice
from converters.rewrites.expand import expand
from converters.rewrites.sigmoid_of_tanh import rewrite_sigmoid_of_tanh
from converters.rewrites.winograd import rewrite_winograd

if TYPE_CHECKING:
    from onnx import ModelProto

TILES_GATE = "winograd"


@dataclass(frozen=True)
class TuningStep:
    """The graph after one rewrite.

    Attributes:
        rung: The rewrite's name in parity reports.
        gate: Name of the tolerance that the graph must keep.
        planned: The graph after this and all earlier rewrites, with internal operators (`internal_ops`).
        choices: How each convolution is computed, as far as this and earlier rewrites decided it.
        small: Whether the ONNX file has the weights of the convolutions themselves, and not those of their tiles.
    """

    rung: str
    gate: str
    planned: ModelProto
    choices: tuple[ConvolutionChoice, ...] = ()
    small: bool = False

    @cached_property
    def graph(self) -> ModelProto:
        """The same graph with ONNX's own operators only."""
        return expand(self.planned, small=self.small)

    def gate_of_file(self, own: str) -> str:
        """The gate of a target's file: that of the tiles, if there are any, else the target's own."""
        return self.gate if self.gate == TILES_GATE else own

    def describe(self) -> dict[str, Any]:
        """The manifest's entries on the tuning, as JSON types."""
        return {"tuned_for": "cpu", "convolutions": [asdict(choice) for choice in self.choices]}


def tune_for_cpu(waist: ModelProto, *, small: bool = False) -> list[TuningStep]:
    """The graph after each rewrite that changed it, in order; the last one is the tuned graph.

    Args:
        waist: The simplified graph.
        small: See TuningStep.

    Returns:
        If nothing pays, one step with the graph as it is.
    """
    steps: list[TuningStep] = []
    graph = waist
    for rung, rewrite in (("cancelled bias", rewrite_cancelled_bias), ("sigmoid of tanh", rewrite_sigmoid_of_tanh)):
        rewritten = rewrite(graph)
        if rewritten is not graph:
            graph = rewritten
            steps.append(TuningStep(rung, "exact", graph))
    rewritten, blocks = rewrite_block_convolution(graph)
    if rewritten is not graph:
        graph = rewritten
        steps.append(TuningStep("block convolution", "exact", graph, blocks))
    rewritten, tiles = rewrite_winograd(graph)
    if rewritten is not graph:
        steps.append(TuningStep("winograd", TILES_GATE, rewritten, small=small))
    last = steps.pop() if steps else TuningStep("nothing pays", "exact", waist)
    return [*steps, replace(last, choices=(*blocks, *tiles))]
