"""A pipeline in several files: a list of links, each an engine or an ONNX file, run one after another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from converters.bundle.folder import write_json
from converters.errors import BundleError
from converters.runners import OnnxRunner, Runner
from converters.tensors import Array, Tensors, TensorSpec, check_feeds


def write_chain(path: Path, links: Sequence[tuple[str, Sequence[TensorSpec], Sequence[TensorSpec]]]) -> None:
    """Write which file takes and gives what, in the order in which they run."""
    write_json(
        path,
        [
            {
                "file": file,
                "inputs": [spec.to_json() for spec in inputs],
                "outputs": [spec.to_json() for spec in outputs],
            }
            for file, inputs, outputs in links
        ],
    )


class ChainRunner:
    """Runs the links in order; what one gives lies ready for all after it.

    Raises:
        BundleError: the list or a file of it cannot be read.
        UnrunnableError: an engine does not load on this GPU.
    """

    def __init__(self, chain: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._where = chain
        self._stack = ExitStack()
        try:
            described = json.loads(chain.read_bytes())
        except (OSError, ValueError) as error:
            raise BundleError(chain, "it is no list of links", "Convert the checkpoints again") from error
        with ExitStack() as opening:
            self._links = [opening.enter_context(_open(chain, link)) for link in described]
            self._stack = opening.pop_all()

    def run(self, feeds: Tensors) -> dict[str, Array]:
        check_feeds(self._where, self.inputs, feeds)
        values = dict(feeds)
        for link in self._links:
            values |= link.run({spec.name: values[spec.name] for spec in link.inputs})
        return {spec.name: values[spec.name] for spec in self.outputs}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()


def _open(chain: Path, link: dict[str, Any]) -> Runner:
    path = chain.parent / link["file"]
    inputs, outputs = (tuple(TensorSpec.from_json(spec) for spec in link[end]) for end in ("inputs", "outputs"))
    if path.suffix == ".onnx":
        return OnnxRunner(path, inputs, outputs)
    from converters.targets.tensorrt.runtime import TensorrtRunner

    return TensorrtRunner(path, inputs, outputs)
