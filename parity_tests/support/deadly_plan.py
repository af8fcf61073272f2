"""A pipeline that kills its own process, as a system without memory does, on photos of certain levels."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from converters.photos.many.photo_job import Plan
from converters.runners import Runner
from converters.tensors import Array, Tensors, TensorSpec

# The red of a photo's first pixel: it kills the first process that works on it, or each.
DEADLY_ONCE, DEADLY = 201, 202


def make_deadly(photo: Path, level: int) -> None:
    """Let a PNG file kill whoever works on it."""
    with Image.open(photo) as image:
        rgb = np.asarray(image).copy()
    rgb[0, 0, 0] = level
    Image.fromarray(rgb).save(photo)


class DeadlyRunner:
    """A runner, but for photos of these levels."""

    def __init__(self, inner: Runner, marks: Path) -> None:
        self._inner = inner
        self._marks = marks

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        return self._inner.inputs

    @property
    def outputs(self) -> Sequence[TensorSpec]:
        return self._inner.outputs

    def run(self, feeds: Tensors) -> dict[str, Array]:
        level = int(feeds["photo"][0, 0, 0, 0])
        if level in (DEADLY, DEADLY_ONCE):
            mark = self._marks / f"{level}-{feeds['photo'].shape[1]}"
            if level == DEADLY or not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return dict(self._inner.run(feeds))

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._inner.__exit__(*exception)


@dataclass(frozen=True)
class DeadlyPlan(Plan):
    """A plan of such a runner.

    Attributes:
        marks: A folder in which it remembers whom it killed.
        opens: Whether opening it does not kill at once.
    """

    marks: Path = Path()
    opens: bool = True

    def open(self) -> Runner:
        if not self.opens:
            os.kill(os.getpid(), signal.SIGKILL)
        return DeadlyRunner(super().open(), self.marks)
