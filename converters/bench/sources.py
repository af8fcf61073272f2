"""Turn what `ganport bench` is given (bundles, checkpoints, ONNX files) into groups that run on the same inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from converters.bundle.checksums import MANIFEST, require_unchanged
from converters.bundle.folder import Bundle, read_bundle
from converters.bundle.run_artifact import NotRun, open_artifact
from converters.errors import BundleError
from converters.files import golden_file
from converters.parity.inputs import SEED
from converters.runners import OnnxRunner, Runner, TorchRunner
from converters.targets.registry import TARGETS, find_target
from converters.targets.target import Artifact
from converters.tensors import Array, Signature, Tensors, TensorSpec, check_feeds
from reference.checkpoint import SUFFIXES, read_checkpoint
from reference.registry import identify_model, list_architectures

# Inputs over which the runs rotate.
BUFFERS = 3
# How far the items of these inputs are moved against each other, in pixels down and to the right.
STEP = (7, 11)
# The target name of a checkpoint that runs in torch.
TORCH = "torch"


# Of a group: see _identify_inputs.
Key = frozenset[tuple[str, int | str]]


@dataclass(frozen=True)
class Contestant:
    """An artifact of a bundle, an ONNX file or a checkpoint, in one runtime.

    Attributes:
        model: Name of the bundle or architecture, or the ONNX file's stem. If two contestants would have the same model
            and runtime, it is `file` instead.
        file: The path that the user gave.
        folder: The folder that holds its files.
        signature: Its inputs and outputs.
        parity: For a bundle's artifact "passed", or why it was not verified; for a checkpoint "reference"; for an ONNX
            file "not looked at".
        artifact: The bundle's artifact, or one made up for an ONNX file; None for a checkpoint, which runs in torch.
        raw: For a checkpoint: whether to run the bare generator, without masking and compositing.
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
        """The runtime's name for people."""
        return "torch eager" if self.artifact is None else TARGETS[self.target].runtime

    @property
    def size(self) -> int:
        """Total size of its files in bytes."""
        files = [Path(self.file)] if self.artifact is None else [self.folder / file for file in self.artifact.files]
        return sum(file.stat().st_size for file in files)

    def load_runtime(self) -> None:
        """Import what `open` needs, so that the import does not count as load time."""
        if self.artifact is None:
            list_architectures()
        else:
            TARGETS[self.target].load_runtime()

    def open(self, threads: int) -> Runner | NotRun:
        """A runner with `threads` threads; a NotRun if the contestant does not run on this machine.

        MXNet reads its number of threads from OMP_NUM_THREADS, which must be set before MXNet is imported.
        """
        if self.artifact is not None:
            return open_artifact(self, self.artifact, threads)
        import torch

        torch.set_num_threads(threads)
        model = identify_model([read_checkpoint(Path(self.file))]).build(self.raw)
        return TorchRunner(model.module, model.inputs, model.outputs)


@dataclass(frozen=True)
class Group:
    """Contestants that take the same inputs.

    Attributes:
        contestants: At least one.
        feeds: BUFFERS inputs over which the runs rotate, each an array per input name.
    """

    contestants: tuple[Contestant, ...]
    feeds: tuple[Tensors, ...]


def read_sources(sources: Sequence[Path], size: tuple[int, int], batch: int) -> list[Group]:
    """List the contestants in `sources`, grouped by their inputs.

    Args:
        sources: Folders of bundles, checkpoints, ONNX files.
        size: (H, W) of the inputs.
        batch: N of the inputs.

    Raises:
        GanportError: a source cannot be read.
    """
    bundles = {path: read_bundle(path) for path in sources if (path / MANIFEST).is_file()}
    raw_hashes = {
        source.sha256 for bundle in bundles.values() if bundle.manifest.raw for source in bundle.manifest.sources
    }
    contestants: list[Contestant] = []
    for path, bundle in bundles.items():
        contestants += _list_artifacts(path, bundle)
    for path in sources:
        if path.suffix == ".onnx":
            contestants.append(_read_onnx(path))
        elif path.suffix in SUFFIXES:
            contestants.append(_read_checkpoint(path, raw_hashes))
        elif path not in bundles:
            raise BundleError(path, "it is no bundle, checkpoint or ONNX file", "Name a bundle's folder or a file")
    groups: dict[Key, list[Contestant]] = {}
    goldens = {_identify_inputs(bundle.signature.inputs): _read_golden(bundle) for bundle in bundles.values()}
    counts = Counter((contestant.model, contestant.runtime) for contestant in contestants)
    for contestant in contestants:
        is_unique = counts[contestant.model, contestant.runtime] == 1
        named = contestant if is_unique else replace(contestant, model=contestant.file)
        groups.setdefault(_identify_inputs(named.signature.inputs), []).append(named)
    return [
        Group(tuple(members), _make_feeds(members[0].signature.inputs, goldens.get(key), size, batch))
        for key, members in groups.items()
    ]


def _list_artifacts(path: Path, bundle: Bundle) -> Iterator[Contestant]:
    manifest = bundle.manifest
    for artifact in manifest.artifacts:
        find_target(path, artifact.target)
        require_unchanged(path, (MANIFEST, *artifact.files))
        parity = "passed" if artifact.verified else manifest.not_verified[artifact.target]
        yield Contestant(manifest.name, str(path), path, bundle.signature, parity, artifact)


def _read_onnx(path: Path) -> Contestant:
    with OnnxRunner(path) as runner:
        signature = Signature(tuple(runner.inputs), tuple(runner.outputs))
    artifact = Artifact("onnx", "", "onnx", (path.name,))
    return Contestant(path.stem, str(path), path.parent, signature, "not looked at", artifact)


def _read_checkpoint(path: Path, raw_hashes: Collection[str]) -> Contestant:
    """A checkpoint, as the bare generator if its hash is in `raw_hashes`: those of the `--raw` bundles in the run."""
    checkpoint = read_checkpoint(path)
    raw = checkpoint.sha256 in raw_hashes
    model = identify_model([checkpoint]).build(raw)
    signature = Signature(model.inputs, model.outputs)
    return Contestant(model.architecture, str(path), path.parent, signature, "reference", raw=raw)


def _identify_inputs(inputs: Sequence[TensorSpec]) -> Key:
    """Names and channel counts. Files of one model agree in these; the names of their free axes may differ."""
    return frozenset((spec.name, spec.shape[1] if len(spec.shape) > 1 else 0) for spec in inputs)


def _read_golden(bundle: Bundle) -> Tensors:
    """The golden inputs of a bundle.

    Raises:
        BundleError: an array is missing, damaged, or not what the hashes say.
        FeedError: an array does not fit the contract.
    """
    inputs = bundle.signature.inputs
    require_unchanged(bundle.folder, [golden_file("input", spec.name) for spec in inputs])
    golden, _ = bundle.golden()
    check_feeds(bundle.folder, inputs, golden)
    return golden


def _make_feeds(
    inputs: Sequence[TensorSpec], golden: Tensors | None, size: tuple[int, int], batch: int
) -> tuple[Tensors, ...]:
    """The golden case of a bundle, brought to the size asked for; if there is none, seeded noise."""
    if golden is not None and all(array.size for array in golden.values()):
        return tuple(
            {spec.name: _fit(golden[spec.name], spec, size, batch, buffer) for spec in inputs}
            for buffer in range(BUFFERS)
        )
    random = np.random.default_rng(SEED)
    return tuple(_make_noise(inputs, size, batch, random) for _ in range(BUFFERS))


def _name_axes(spec: TensorSpec) -> str:
    """A letter per axis: N, H and W for batch, height and width; by their usual places where the layout is unknown."""
    return spec.layout if len(spec.layout) == len(spec.shape) else "NCHW".ljust(len(spec.shape), "?")[: len(spec.shape)]


def _fit(array: Array, spec: TensorSpec, size: tuple[int, int], batch: int, buffer: int) -> Array:
    """An array thinned out or repeated along its free axes, so that the hole keeps its share.

    Each item of each buffer is moved by another distance, alike for all inputs; what leaves at an end comes back at the
    other.
    """
    axes = _name_axes(spec)
    free_sizes = {"N": batch, "H": size[0], "W": size[1]}
    shape = [
        axis if isinstance(axis, int) else free_sizes.get(letter, held)
        for letter, axis, held in zip(axes, spec.shape, array.shape, strict=True)
    ]
    items = []
    for item in range(shape[axes.index("N")] if "N" in axes else 1):
        moved = array
        for axis, letter in enumerate(axes):
            held, count, start = array.shape[axis], shape[axis], 0
            if letter == "N":
                count, start = 1, item
            elif letter in "HW":
                start = STEP["HW".index(letter)] * (buffer * batch + item)
            places = np.arange(count) * max(held, count) // max(count, 1)
            moved = moved.take((places + start) % held, axis)
        items.append(moved)
    joined = np.concatenate(items, axes.index("N")) if "N" in axes else items[0]
    return joined.copy(order="C")  # ascontiguousarray would give a number an axis


def _make_noise(
    inputs: Sequence[TensorSpec], size: tuple[int, int], batch: int, random: np.random.Generator
) -> Tensors:
    """Arrays by input name, in the range that the contract gives, or else from 0 to 1; booleans and integers too.

    Free axes other than N, H and W get size 1.
    """
    free_sizes = {"N": batch, "H": size[0], "W": size[1]}
    feeds = {}
    for spec in inputs:
        shape = [
            axis if isinstance(axis, int) else free_sizes.get(letter, 1)
            for letter, axis in zip(_name_axes(spec), spec.shape, strict=True)
        ]
        least, most = spec.value_range or (0.0, 1.0)
        noise = least + (most - least) * random.random(shape, np.float32)
        feeds[spec.name] = (noise if np.issubdtype(spec.dtype, np.floating) else np.rint(noise)).astype(spec.dtype)
    return feeds
