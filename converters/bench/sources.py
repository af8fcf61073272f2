"""What `ganport bench` is given: bundles, checkpoints and ONNX files become groups of contestants on equal inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from converters.bundle.folder import Bundle, read_bundle
from converters.bundle.manifest import MANIFEST
from converters.bundle.run_artifact import NotRun, open_artifact
from converters.errors import BundleError
from converters.parity.inputs import PHOTOS, SEED, make_input
from converters.runners import OnnxRunner, Runner, TorchRunner
from converters.targets.registry import TARGETS, find_target
from converters.targets.target import Artifact
from converters.tensors import Signature, Tensors, TensorSpec
from reference.checkpoint import SUFFIXES, read_checkpoint
from reference.registry import ARCHITECTURES, identify_model, list_contracts, open_architecture

MASKS = ("large", "small", "border")
BUFFERS = len(MASKS)
TORCH = "torch"


@dataclass(frozen=True)
class Contestant:
    """One file, or the files of one artifact, in one runtime.

    Attributes:
        model: The bundle's or the architecture's name, or an ONNX file's stem; where two would be alike, the file.
        file: As the user named it.
        folder: Where its files are.
        signature: Its inputs and outputs.
        parity: What was proven of it, in words.
        artifact: The bundle's artifact, or that which an ONNX file on its own would be; None is a checkpoint, in torch.
        raw: For a checkpoint: run the bare generator.
    """

    model: str
    file: str
    folder: Path
    signature: Signature
    parity: str
    artifact: Artifact | None = None
    raw: bool = False

    @property
    def target(self) -> str:
        """A name in TARGETS, or TORCH."""
        return TORCH if self.artifact is None else self.artifact.target

    @property
    def runtime(self) -> str:
        """In words."""
        return "torch eager" if self.artifact is None else TARGETS[self.target].runtime

    @property
    def size(self) -> int:
        """Of its files, in bytes."""
        files = [Path(self.file)] if self.artifact is None else [self.folder / file for file in self.artifact.files]
        return sum(file.stat().st_size for file in files)

    def load_runtime(self) -> None:
        """Import what `open` needs, so that it does not count as load time."""
        if self.artifact is None:
            for name in ARCHITECTURES:
                open_architecture(name)
        else:
            TARGETS[self.target].load_runtime()

    def open(self, threads: int) -> Runner | NotRun:
        """A runner with `threads` threads, or why it does not run here.

        MXNet takes the number of threads from OMP_NUM_THREADS, which must be set before its import.
        """
        if self.artifact is not None:
            return open_artifact(self, self.artifact, threads)
        import torch

        torch.set_num_threads(threads)
        model = identify_model([read_checkpoint(Path(self.file))]).build(self.raw)
        return TorchRunner(model.module, model.inputs, model.outputs)


@dataclass(frozen=True)
class Group:
    """Contestants that take the same inputs, and those inputs: some buffers to rotate over."""

    contestants: tuple[Contestant, ...]
    feeds: tuple[Tensors, ...]


def read_sources(sources: Sequence[Path], size: tuple[int, int], batch: int) -> list[Group]:
    """Group what `sources` hold by the inputs that they take.

    Args:
        sources: Bundles, checkpoints, ONNX files of ganport's or of anybody.
        size: (H, W) of the inputs.
        batch: N of the inputs.

    Raises:
        GanportError: a source cannot be read.
    """
    bundles = {path: read_bundle(path) for path in sources if (path / MANIFEST).is_file()}
    raw_sources = {
        source.sha256 for bundle in bundles.values() if bundle.manifest.raw for source in bundle.manifest.sources
    }
    contestants: list[Contestant] = []
    for path, bundle in bundles.items():
        contestants += _list_artifacts(path, bundle)
    for path in sources:
        if path.suffix == ".onnx":
            contestants.append(_read_onnx(path))
        elif path.suffix in SUFFIXES:
            contestants.append(_read_checkpoint(path, raw_sources))
        elif path not in bundles:
            raise BundleError(path, "it is no bundle, checkpoint or ONNX file", "Name a bundle's folder or a file")
    groups: dict[frozenset[tuple[str, int | str]], list[Contestant]] = {}
    named = Counter((contestant.model, contestant.runtime) for contestant in contestants)
    for contestant in contestants:
        alone = named[contestant.model, contestant.runtime] == 1
        told = contestant if alone else replace(contestant, model=contestant.file)
        groups.setdefault(_channels(told.signature.inputs), []).append(told)
    return [Group(tuple(members), _make_feeds(members[0].signature.inputs, size, batch)) for members in groups.values()]


def _list_artifacts(path: Path, bundle: Bundle) -> Iterator[Contestant]:
    manifest = bundle.manifest
    for artifact in manifest.artifacts:
        find_target(path, artifact.target)
        parity = "passed" if artifact.verified else manifest.not_verified[artifact.target]
        yield Contestant(manifest.name, str(path), path, bundle.signature, parity, artifact)


def _read_onnx(path: Path) -> Contestant:
    with OnnxRunner(path) as runner:
        signature = Signature(tuple(runner.inputs), tuple(runner.outputs))
    artifact = Artifact("onnx", "", "onnx", (path.name,))
    return Contestant(path.stem, str(path), path.parent, signature, "not looked at", artifact)


def _read_checkpoint(path: Path, raw_sources: Collection[str]) -> Contestant:
    """`raw_sources` are the hashes of checkpoints whose bundles, of the bare generator, take part."""
    checkpoint = read_checkpoint(path)
    raw = checkpoint.sha256 in raw_sources
    model = identify_model([checkpoint]).build(raw)
    signature = Signature(model.inputs, model.outputs)
    return Contestant(model.architecture, str(path), path.parent, signature, "reference", raw=raw)


def _channels(inputs: Sequence[TensorSpec]) -> frozenset[tuple[str, int | str]]:
    """Names and channel counts: what two files of one model have in common, whatever their free axes are called."""
    return frozenset((spec.name, spec.shape[1] if len(spec.shape) > 1 else 0) for spec in inputs)


def _make_feeds(inputs: Sequence[TensorSpec], size: tuple[int, int], batch: int) -> tuple[Tensors, ...]:
    """Photos with holes where the inputs are an architecture's; seeded noise in [0, 1] for a foreign net."""
    for contract in list_contracts():
        if _channels(contract.inputs) == _channels(inputs):
            pairs = [[(PHOTOS[(i + n) % len(PHOTOS)], MASKS[i]) for n in range(batch)] for i in range(BUFFERS)]
            cases = [make_input(each, size) for each in pairs]
            return tuple(contract.make_feeds(case.photo, case.edges, case.mask) for case in cases)
    random = np.random.default_rng(SEED)
    return tuple(_make_noise(inputs, size, batch, random) for _ in range(BUFFERS))


def _make_noise(
    inputs: Sequence[TensorSpec], size: tuple[int, int], batch: int, random: np.random.Generator
) -> Tensors:
    feeds = {}
    for spec in inputs:
        free = {0: batch, 2: size[0], 3: size[1]}
        shape = [axis if isinstance(axis, int) else free.get(index, 1) for index, axis in enumerate(spec.shape)]
        noise = random.random(shape, np.float32)
        feeds[spec.name] = (noise if np.issubdtype(spec.dtype, np.floating) else noise < 0.5).astype(spec.dtype)
    return feeds
