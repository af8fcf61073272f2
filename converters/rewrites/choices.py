"""The record of how each convolution is computed, for the manifest and `inspect`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ConvolutionChoice:
    """How one convolution of the graph before the rewrites is computed after them.

    Attributes:
        node: The node's name, or its output's name if the node has none.
        chosen: "tiles", "blocks" or "as it is".
        reason: One sentence.
        before: Multiplications per output pixel of the direct convolution; None if the convolution is of a kind that
            the rewrites do not handle.
        after: Multiplications per output pixel of the chosen way, with its transforms; None likewise.
    """

    node: str
    chosen: str
    reason: str
    before: float | None = None
    after: float | None = None
