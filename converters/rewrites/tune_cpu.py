"""`--tune cpu`: the rewrites that make a graph fast on a CPU, one after another, each to be proven."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from converters.rewrites.block_convolution import rewrite_block_convolution
from converters.rewrites.cancelled_bias import rewrite_cancelled_bias
from converters.rewrites.choices import ConvolutionChoice
from converters.rewrites.expand import expand
from converters.rewrites.sigmoid_of_tanh import rewrite_sigmoid_of_tanh
from converters.rewrites.winograd import rewrite_winograd

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True)
class TuningStep:
    """The graph after one rewrite.

    Attributes:
        rung: The rewrite's name on the ladder.
        gate: What it is held to.
        planned: The whole graph so far, with operators of ours (`internal_ops`).
        choices: What was chosen for each convolution so far.
    """

    rung: str
    gate: str
    planned: ModelProto
    choices: tuple[ConvolutionChoice, ...] = ()

    @cached_property
    def graph(self) -> ModelProto:
        """The same in ONNX's own operators."""
        return expand(self.planned)


def tune_for_cpu(waist: ModelProto) -> Iterator[TuningStep]:
    """The graph after each rewrite that changed it; the last one is the tuned graph."""
    graph = waist
    for rung, rewrite in (("cancelled bias", rewrite_cancelled_bias), ("sigmoid of tanh", rewrite_sigmoid_of_tanh)):
        rewritten = rewrite(graph)
        if rewritten is not graph:
            graph = rewritten
            yield TuningStep(rung, "exact", graph)
    rewritten, blocks = rewrite_block_convolution(graph)
    if rewritten is not graph:
        graph = rewritten
        yield TuningStep("few outputs", "exact", graph, blocks)
    rewritten, tiles = rewrite_winograd(graph)
    if rewritten is not graph:
        yield TuningStep("winograd", "winograd", rewritten, (*blocks, *tiles))
