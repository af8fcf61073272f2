"""What `ganport bench` is given: bundles, checkpoints and ONNX files become groups of contestants on equal inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from converters.bundle.folder import MANIFEST, read_bundle
from converters.errors import BundleError
from converters.parity.inputs import PHOTOS, SEED, make_input
from converters.runners import OnnxRunner, Runner, TorchRunner
from converters.targets.registry import TARGETS
from converters.tensors import Tensors, TensorSpec
from converters.verify import read_target
from reference.checkpoint import SUFFIXES, read_checkpoint
from reference.registry import ARCHITECTURES, identify, list_contracts, open_architecture

MASKS = ("large", "small", "border")
BUFFERS = len(MASKS)
TORCH = "torch"
RUNTIMES = {TORCH: "torch eager", "onnx": "onnxruntime", "mxnet": "mxnet", "trt": "tensorrt"}


@dataclass(frozen=True)
class Contestant:
    """One file, or pair of files, in one runtime.

    Attributes:
        model: The bundle's or the architecture's name, a foreign file's stem; the file where two have the same.
        file: As the user named it.
        target: A name in TARGETS, or TORCH for a checkpoint in eager mode.
        paths: As `Target.open` takes them.
        inputs: Contract.
        outputs: Contract.
        parity: What was proven of it, in words.
        raw: For a checkpoint: run the bare generator.
    """

    model: str
    file: str
    target: str
    paths: tuple[Path, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parity: str
    raw: bool = False

    @property
    def runtime(self) -> str:
        return RUNTIMES[self.target]

    @property
    def size(self) -> int:
        """Of the files, in bytes."""
        return sum(path.stat().st_size for path in self.paths)

    def open(self, threads: int) -> Runner:
        """A runner with `threads` threads; MXNet takes their number from OMP_NUM_THREADS, set before its import."""
        if self.target == TORCH:
            import torch

            torch.set_num_threads(threads)
            checkpoint = read_checkpoint(self.paths[0])
            return TorchRunner(identify(checkpoint).build(checkpoint, self.raw).module, self.inputs, self.outputs)
        if self.target == "onnx":
            return OnnxRunner(self.paths[0], self.inputs, self.outputs, threads)
        return TARGETS[self.target].open(self.paths, self.inputs, self.outputs)


def load_runtime(target: str) -> None:
    """Import what opening a file of `target` needs, so that it does not count as load time."""
    if target == TORCH:
        for name in ARCHITECTURES:
            open_architecture(name)
    elif target == "onnx":
        import onnxruntime  # noqa: F401
    elif target == "mxnet":
        from converters.targets.mxnet.runtime import load_mxnet

        load_mxnet()
    else:
        from converters.targets.tensorrt.runtime import load_tensorrt

        load_tensorrt()


@dataclass(frozen=True)
class Group:
    """Contestants that take the same inputs, and those inputs: some buffers to rotate over."""

    contestants: tuple[Contestant, ...]
    feeds: tuple[Tensors, ...]


def read_sources(
    sources: Sequence[Path], size: tuple[int, int], batch: int
) -> tuple[list[Group], dict[tuple[str, str], str]]:
    """Group what `sources` hold; and why some artifacts, by file and target, do not run here.

    Args:
        sources: Bundles, checkpoints, ONNX files of ganport's or of anybody.
        size: (H, W) of the inputs.
        batch: N of the inputs.

    Raises:
        GanportError: a source cannot be read.
    """
    contestants: list[Contestant] = []
    skipped: dict[tuple[str, str], str] = {}
    raw_sources = set()
    for path in sources:
        if (path / MANIFEST).is_file():
            bundle = read_bundle(path)
            manifest = bundle.manifest
            if manifest["raw"]:
                raw_sources |= {source["sha256"] for source in manifest["sources"]}
            for artifact in manifest["artifacts"]:
                missing = read_target(path, artifact).missing_verifier()
                if missing is not None:
                    skipped[str(path), artifact["target"]] = missing
                    continue
                parity = "passed" if artifact["verified"] else manifest["not_verified"][artifact["target"]]
                paths = tuple(path / file for file in artifact["files"])
                contestants.append(
                    Contestant(
                        manifest["name"], str(path), artifact["target"], paths, bundle.inputs, bundle.outputs, parity
                    )
                )
    for path in sources:
        if path.suffix == ".onnx":
            contestants.append(_read_onnx(path))
        elif path.suffix in SUFFIXES:
            checkpoint = read_checkpoint(path)
            raw = checkpoint.sha256 in raw_sources
            model = identify(checkpoint).build(checkpoint, raw)
            contestants.append(
                Contestant(model.architecture, str(path), TORCH, (path,), model.inputs, model.outputs, "reference", raw)
            )
        elif not (path / MANIFEST).is_file():
            raise BundleError(path, "it is no bundle, checkpoint or ONNX file", "Name a bundle's folder or a file")
    groups: dict[frozenset[tuple[str, int | str]], list[Contestant]] = {}
    named = Counter((contestant.model, contestant.target) for contestant in contestants)
    for contestant in contestants:
        alone = named[contestant.model, contestant.target] == 1
        told = contestant if alone else replace(contestant, model=contestant.file)
        groups.setdefault(_signature(told.inputs), []).append(told)
    return [Group(tuple(members), _make_feeds(members[0].inputs, size, batch)) for members in groups.values()], skipped


def _signature(inputs: Sequence[TensorSpec]) -> frozenset[tuple[str, int | str]]:
    """Names and channel counts: what two files of one model have in common, whatever their free axes are called."""
    return frozenset((spec.name, spec.shape[1] if len(spec.shape) > 1 else 0) for spec in inputs)


def _read_onnx(path: Path) -> Contestant:
    with OnnxRunner(path) as runner:
        inputs, outputs = tuple(runner.inputs), tuple(runner.outputs)
    return Contestant(path.stem, str(path), "onnx", (path,), inputs, outputs, "not looked at")


def _make_feeds(inputs: Sequence[TensorSpec], size: tuple[int, int], batch: int) -> tuple[Tensors, ...]:
    """Photos with holes where the inputs are an architecture's; seeded noise in [0, 1] for a foreign net."""
    for contract in list_contracts():
        if _signature(contract.inputs) == _signature(inputs):
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
