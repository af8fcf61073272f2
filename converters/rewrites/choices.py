"""What was chosen for a convolution, for a person to read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ConvolutionChoice:
    """One convolution of the graph before the rewrites.

    Attributes:
        node: Its name, or its output's.
        chosen: "tiles", "blocks" or "as it is".
        reason: One sentence.
        before: Multiplications for each output pixel, None if it was not read.
        after: The same as chosen, transforms included.
    """

    node: str
    chosen: str
    reason: str
    before: float | None = None
    after: float | None = None
