"""Every architecture and pipeline, and which of them a checkpoint is of.

Architectures of other installed packages take part like ganport's own: see reference.plugins.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from converters.errors import ArchitectureError
from reference.key_match import KeyMatch, Shapes, list_shapes, nearest_of, shorten
from reference.model import Architecture, Contract, Pipeline, ReferenceModel
from reference.plugins import ARCHITECTURE_GROUP, Plugin, leave_out_if_it_fails, open_plugins
from reference.refusal import OR_EXPORT, name_cause

if TYPE_CHECKING:
    from reference.checkpoint_data import Checkpoint

T = TypeVar("T")
ARCHITECTURES = {
    "aot-gan": "reference.aot_gan:AOT_GAN",
    "cyclegan-resnet": "reference.resnet_generator:CYCLEGAN",
    "deepfill-v2": "reference.deepfill:DEEPFILL",
    "edgeconnect-edge": "reference.edgeconnect:EDGE",
    "edgeconnect-inpaint": "reference.edgeconnect:INPAINT",
    "lama": "reference.lama:LAMA",
    "mi-gan": "reference.migan:MI_GAN",
    "partial-conv": "reference.partial_conv:PARTIAL_CONV",
    "pix2pix-unet": "reference.pix2pix_unet:PIX2PIX_UNET",
    "style-transfer": "reference.style_transfer:STYLE_TRANSFER",
}
PIPELINES = {"edgeconnect": "reference.edgeconnect_pipeline:PIPELINE"}
# A key of CycleGAN's discriminator: the number of the layer, and the tensor's name in it.
PATCHGAN_KEY = re.compile(r"model\.(\d{1,3})\.(\w+)\Z", re.ASCII)


def identify(checkpoint: Checkpoint) -> Architecture:
    """The one architecture that has exactly the checkpoint's keys and shapes.

    Raises:
        ArchitectureError: no architecture fits, or several do. If none fits, the message names the nearest one with its
            missing and extra keys and the cause, unless no architecture has any key of the file.
    """
    shapes = list_shapes(checkpoint.tensors)
    matches = _match_all(shapes)
    fitting = [architecture for architecture, match in matches if not match.faults]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise _explain_several(checkpoint, [architecture.name for architecture in fitting])
    if beside := name_generator_file(shapes):
        raise ArchitectureError(
            checkpoint.path, "it holds a discriminator", f"Give the generator's file, the one named {beside}"
        )
    nearest = nearest_of(match for _, match in matches)
    if len(nearest.extra) < len(shapes):
        cause = name_cause(shapes, nearest)
        found = f"no architecture fits it. The nearest is {nearest.architecture}: {nearest}. {cause}"
    else:
        found = f"no architecture has any of its keys ({shorten(nearest.extra)})"
    raise ArchitectureError(
        checkpoint.path,
        found,
        f"Give a generator checkpoint of one of {', '.join([*ARCHITECTURES, *_open_plugins()])}, {OR_EXPORT}",
    )


def _explain_several(checkpoint: Checkpoint, names: Sequence[str]) -> ArchitectureError:
    packages = {name: plugin.package for name, (plugin, _) in _open_plugins().items() if name in names}
    told = ", ".join(f"{name} of package {packages[name]}" if name in packages else name for name in names)
    remedy = "Uninstall a package whose net it is not, or report this to its authors" if packages else "Report this"
    return ArchitectureError(checkpoint.path, f"several architectures fit it: {told}", remedy)


def find_nearest(shapes: Shapes) -> KeyMatch:
    """How the shapes differ from those of the architecture that comes nearest."""
    return nearest_of(match for _, match in _match_all(shapes))


def _match_all(shapes: Shapes) -> list[tuple[Architecture, KeyMatch]]:
    """Every architecture, and how the shapes differ from its; a plugin's that fails at it is left out."""
    ours = [open_architecture(name) for name in ARCHITECTURES]
    matches = [(architecture, architecture.match(shapes)) for architecture in ours]
    for plugin, architecture in _open_plugins().values():
        with leave_out_if_it_fails(plugin):
            matches.append((architecture, _require(KeyMatch, architecture.match(shapes))))
    return matches


def _open_plugins() -> Mapping[str, tuple[Plugin, Architecture]]:
    """The architectures of other packages, by name, in alphabetical order."""
    return open_plugins(ARCHITECTURE_GROUP, (*ARCHITECTURES, *PIPELINES), _find_fault)


def _find_fault(name: str, offered: Any) -> str | None:
    """What keeps an object from being the architecture `name`; it is asked for its contracts."""
    if isinstance(offered, type):
        return f"it names the class {offered.__name__}, not an object of it"
    for attribute in ("name", "license_note"):
        if not isinstance(getattr(offered, attribute, None), str):
            return f"its object has no text '{attribute}'"
    for method in ("match", "contract", "build"):
        if not callable(getattr(offered, method, None)):
            return f"its object has no method '{method}'"
    if offered.name != name:
        return f"its object calls itself '{offered.name}'"
    for raw in (False, True):
        _require(Contract, offered.contract(raw))
    return None


def _require(wanted: type[T], given: object) -> T:
    """What a plugin's method returned, if it is of the type that it must be of.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(given, wanted):
        raise TypeError(f"it returns a {type(given).__name__} for a {wanted.__name__}")
    return given


@dataclass(frozen=True)
class IdentifiedModel:
    """Checkpoints and the model that they are: one net, or a pipeline of several.

    Attributes:
        name: Name of the architecture or the pipeline.
        license_note: Which licence covers files made from them.
        checkpoints: One, or one per stage in the pipeline's order.
        packages: Version by name of the package that the architecture is from; none if it is ganport's own.
    """

    name: str
    license_note: str
    checkpoints: tuple[Checkpoint, ...]
    _build: Callable[[bool], ReferenceModel] = field(repr=False)
    packages: Mapping[str, str] = field(default_factory=dict)

    def build(self, raw: bool = False) -> ReferenceModel:
        """The untouched torch model.

        Args:
            raw: Whether to leave out masking and compositing; a pipeline has no such form.

        Raises:
            ArchitectureError: a weight is not floating point.
        """
        return self._build(raw)


def identify_model(checkpoints: Sequence[Checkpoint], *, as_pipeline: bool = False) -> IdentifiedModel:
    """Identify one checkpoint as a net, or several, in any order, as the nets of a pipeline.

    Args:
        checkpoints: One or more.
        as_pipeline: Whether a single checkpoint, too, must be a pipeline.

    Raises:
        ArchitectureError: no architecture fits a checkpoint, or no pipeline is made of them.
    """
    found = [(identify(checkpoint), checkpoint) for checkpoint in checkpoints]
    if len(found) == 1 and not as_pipeline:
        ((architecture, checkpoint),) = found
        return IdentifiedModel(
            architecture.name,
            architecture.license_note,
            (checkpoint,),
            lambda raw: architecture.build(checkpoint, raw),
            list_packages([architecture.name]),
        )
    pipeline = identify_pipeline([architecture for architecture, _ in found])
    stages = sorted(found, key=lambda stage: pipeline.stages.index(stage[0].name))
    return IdentifiedModel(
        pipeline.name,
        pipeline.license_note,
        tuple(checkpoint for _, checkpoint in stages),
        lambda raw: pipeline.build(*(architecture.build(checkpoint) for architecture, checkpoint in stages)),
    )


def name_generator_file(shapes: Shapes) -> str | None:
    """The usual name of the generator's file, if the shapes are of EdgeConnect's or CycleGAN's discriminator."""
    if any(key.startswith("conv1.0.weight") for key in shapes):
        return "..._gen.pth"
    layers = {key: PATCHGAN_KEY.match(key) for key in shapes}
    kernels = {int(hit[1]): shapes[key] for key, hit in layers.items() if hit and hit[2] == "weight"}
    kernels = {index: shape for index, shape in kernels.items() if len(shape) == 4}
    if not all(layers.values()) or min(kernels, default=1) > 0 or len(kernels) == 1:
        return None
    if kernels[max(kernels)][0] == 1 and all(shape[2:] == (4, 4) for shape in kernels.values()):
        return "..._net_G.pth"
    return None


def identify_pipeline(stages: Sequence[Architecture]) -> Pipeline:
    """The pipeline of these architectures, in any order; of one alone, that from photo to photo by its contract.

    Raises:
        ArchitectureError: there is none.
    """
    names = [architecture.name for architecture in stages]
    pipelines: list[Pipeline] = [_open(place) for place in PIPELINES.values()]
    for pipeline in pipelines:
        if sorted(pipeline.stages) == sorted(names):
            return pipeline
    if len(stages) == 1:
        from reference.photo_pipeline import NetFromPhoto  # imported here because it imports torch

        return NetFromPhoto(stages[0])
    known = "; ".join(f"{pipeline.name} of {' and '.join(pipeline.stages)}" for pipeline in pipelines)
    raise ArchitectureError("--pipeline", f"no pipeline is made of {' and '.join(names)}", f"Known are: {known}")


def list_architectures() -> list[Architecture]:
    """Every architecture, those of other packages last."""
    ours = [open_architecture(name) for name in ARCHITECTURES]
    return [*ours, *(architecture for _, architecture in _open_plugins().values())]


def list_plugins() -> tuple[Plugin, ...]:
    """The architectures of other packages that can be used."""
    return tuple(plugin for plugin, _ in _open_plugins().values())


def list_packages(names: Iterable[str]) -> dict[str, str]:
    """Version by name of the packages that the architectures of these names are from, ganport left out."""
    return {plugin.package: plugin.version for plugin in list_plugins() if plugin.name in names}


def open_architecture(name: str) -> Architecture:
    """ganport's own architecture of that name."""
    architecture: Architecture = _open(ARCHITECTURES[name])
    return architecture


def _open(place: str) -> Any:
    """The object at "module:NAME"."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def shipped_checkpoints() -> tuple[Path, ...]:
    """The small trained pair that comes with ganport."""
    folder = Path(str(files("reference"))) / "weights"
    return (folder / "EdgeModel_gen.pth", folder / "InpaintingModel_gen.pth")


def shipped_bundle() -> Path:
    """The pipeline bundle made of that pair, with an ONNX file; it comes with ganport too."""
    return Path(str(files("reference"))) / "bundles" / "edgeconnect"
