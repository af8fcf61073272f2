"""Small seeded checkpoints and the bundles made from them, once per run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import reference.registry
from converters.convert import Conversion, Settings, convert
from converters.onnx_graph.simplify import simplify
from converters.sources.export_torch import export_onnx
from converters.sources.spectral_norm import fold_spectral_norm
from converters.targets.registry import TARGETS
from parity_tests.support.architecture_cases import CASES, CaseBundle
from parity_tests.support.foreign_models import GREY_PIPELINE, write_model
from parity_tests.support.seeded_checkpoints import NETS, write_checkpoint
from parity_tests.support.shared import make_once
from parity_tests.support.waist import Waist
from reference.checkpoint import read_checkpoint
from reference.registry import identify

# Left out by `make check`: they take half a minute or more, or need what `make test` fetches into build/. The longest
# are first, so that no worker is left alone with one of them at the end of a run.
SLOW = (
    *("packaging/test_code_blocks.py", "reference/test_architectures.py", "cpp/test_all_nets.py"),
    *("commands/test_photo_nets.py", "commands/test_full_size.py", "sources/test_resnet_conversion.py", "cpp/"),
    *("wolfram/test_architectures.py", "rewrites/test_tuned_file.py", "reference/test_deepfill.py"),
    *("commands/test_demo.py", "commands/test_pipeline.py", "examples/", "web/", "bundle/test_killed_runs.py"),
    *("commands/test_fuzz.py", "wolfram/test_nets.py", "commands/test_supervised.py"),
    *("reference/test_partial_conv_masks.py", "wolfram/test_edge_connect_inpaint.py", "wolfram/test_package.py"),
    *("mxnet/test_conformance.py", "packaging/test_plugins.py", "bundle/test_bad_output_place.py"),
    *("bundle/test_same_bytes.py", "bundle/test_shipped_bundle.py", "bundle/test_standalone.py"),
    *("commands/test_many_photos_on_ray.py", "commands/test_parity.py", "reference/test_canny.py"),
    *("python/test_types.py", "sources/test_strangers_onnx.py", "packaging/test_core_install.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of slow files first, and mark them, so that `-m "not slow"` leaves them out."""

    def place(item: pytest.Item) -> int:
        file = item.path.relative_to(Path(__file__).parent).as_posix()
        return next((i for i, prefix in enumerate(SLOW) if file.startswith(prefix)), len(SLOW))

    items.sort(key=place)
    for item in items:
        if place(item) < len(SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of a run see; see make_once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def case_bundles(shared: Path) -> Callable[..., CaseBundle]:
    """By an architecture's name, its small seeded net converted to every target, or to a pipeline's onnx; read only."""

    def find(name: str, *, pipeline: bool = False) -> CaseBundle:
        (case,) = (case for case in CASES if case.name == name)

        def make(folder: Path) -> CaseBundle:
            checkpoint = case.write(folder)
            settings = Settings(("onnx",) if pipeline else tuple(TARGETS), folder / "out", pipeline=pipeline)
            (conversion,) = convert([checkpoint], settings, lambda step: None)
            return CaseBundle(checkpoint, conversion.bundle)

        return make_once(shared / f"{name}-pipeline" if pipeline else shared / name, make)

    return find


@pytest.fixture(scope="session")
def checkpoints(shared: Path) -> Mapping[str, Path]:
    """The "edge" and the "inpaint" net at 4 base channels, 1 block: all the layers, little arithmetic."""
    return make_once(shared / "checkpoints", lambda folder: {net: write_checkpoint(folder, net) for net in NETS})


@pytest.fixture(scope="session")
def conversions(checkpoints: Mapping[str, Path], shared: Path) -> Mapping[str, Conversion]:
    """Both nets converted to every target; read only: copy a bundle's folder before changing it."""

    def make(folder: Path) -> Mapping[str, Conversion]:
        settings = Settings(tuple(TARGETS), folder)
        return dict(zip(checkpoints, convert(list(checkpoints.values()), settings, lambda step: None), strict=True))

    return make_once(shared / "conversions", make)


@pytest.fixture(scope="session")
def waists(checkpoints: Mapping[str, Path], shared: Path) -> Mapping[str, Waist]:
    """The graphs that the targets of both nets start from."""
    read = {net: read_checkpoint(path) for net, path in checkpoints.items()}
    models = {net: identify(checkpoint).build(checkpoint) for net, checkpoint in read.items()}
    folded = {net: fold_spectral_norm(model.module) for net, model in models.items()}
    exported = make_once(
        shared / "exported", lambda _: {net: export_onnx(model, folded[net]) for net, model in models.items()}
    )
    return {net: Waist(models[net], folded[net], exported[net], simplify(exported[net])) for net in models}


@pytest.fixture(scope="session")
def shipped_pipeline(shared: Path) -> Conversion:
    """The pair that ships as one bundle, its files named in the wrong order; read only."""

    def make(folder: Path) -> Conversion:
        settings = Settings(("onnx", "trt"), folder, pipeline=True)
        (conversion,) = convert(tuple(reversed(reference.registry.shipped_checkpoints())), settings, lambda step: None)
        return conversion

    return make_once(shared / "pipeline", make)


@pytest.fixture(scope="session")
def grey_pipeline(shared: Path) -> Path:
    """The bundle of a stand-in for a pipeline, which paints the hole in one grey; read only."""

    def make(folder: Path) -> Path:
        (conversion,) = convert([write_model(folder, GREY_PIPELINE)], Settings(("onnx",), folder), lambda step: None)
        return conversion.bundle.folder

    return make_once(shared / "grey", make)
