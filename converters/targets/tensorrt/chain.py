"""A chain: a pipeline of several files, engines and ONNX files, that run one after another."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from converters.errors import BundleError
from converters.files import read_text_file, write_json
from converters.runners import OnnxRunner, Runner
from converters.tensors import Array, Name, Signature, Tensors, TensorSpec, check_feeds


@dataclass(frozen=True)
class Link(Signature):
    """One file of a chain, with its inputs and outputs.

    Attributes:
        file: Its name in the folder of the chain's JSON file.
    """

    file: Name


def write_chain(path: Path, links: Sequence[Link]) -> None:
    """Write the chain's JSON file: the links in the order in which they run."""
    write_json(path, links)


class ChainRunner:
    """Runs the links in order; a link reads the chain's inputs and the outputs of all links before it.

    Args:
        paths: The chain's JSON file, and the links' files.
        inputs: The chain's inputs.
        outputs: The chain's outputs.

    Raises:
        BundleError: the JSON file or a link's file cannot be read, or a link's file is not in `paths`.
        UnrunnableError: an engine does not load on this machine.
    """

    def __init__(self, paths: Sequence[Path], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        chain, *files = paths
        self.inputs = inputs
        self.outputs = outputs
        self._where = chain
        self._stack = ExitStack()
        try:
            links = msgspec.json.decode(read_text_file(chain), type=list[Link])
        except (OSError, UnicodeDecodeError, RecursionError, msgspec.DecodeError) as error:
            raise BundleError(chain, "it is no list of links", "Convert the checkpoints again") from error
        with ExitStack() as opening:
            self._links = [opening.enter_context(_open(chain, files, link)) for link in links]
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


def _open(chain: Path, files: Sequence[Path], link: Link) -> Runner:
    path = chain.parent / link.file
    if path not in files:
        raise BundleError(
            chain, f"'{link.file}' is none of its bundle's files for trt", "Convert the checkpoints again"
        )
    if path.suffix == ".onnx":
        return OnnxRunner(path, link.inputs, link.outputs)
    from converters.targets.tensorrt.runtime import TensorrtRunner

    return TensorrtRunner(path, link.inputs, link.outputs)
