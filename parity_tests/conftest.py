"""Small seeded checkpoints and the bundles made from them, once per run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock

import reference.registry
from converters.bundle.folder import Bundle, read_bundle
from converters.convert import Conversion, Settings, convert
from converters.onnx_graph.simplify import simplify
from converters.sources.export_torch import export_onnx
from converters.sources.spectral_norm import fold_spectral_norm
from converters.targets.registry import TARGETS
from parity_tests.support.architecture_cases import CASES
from parity_tests.support.foreign_models import GREY_PIPELINE, write_model
from parity_tests.support.seeded_checkpoints import NETS, write_checkpoint
from parity_tests.support.waist import Waist
from reference.checkpoint import read_checkpoint
from reference.registry import identify

# Left out by `make check`: they take half a minute or more, or need what `make test` fetches into build/.
SLOW = (
    *("bundle/test_bad_output_place.py", "bundle/test_killed_runs.py", "bundle/test_same_bytes.py"),
    *(
        "bundle/test_shipped_bundle.py",
        "bundle/test_standalone.py",
        "commands/test_demo.py",
        "commands/test_full_size.py",
        "commands/test_many_photos_on_ray.py",
        "commands/test_parity.py",
        "commands/test_photo_nets.py",
    ),
    *(
        "commands/test_pipeline.py",
        "commands/test_supervised.py",
        "commands/test_fuzz.py",
        "cpp/",
        "mxnet/test_conformance.py",
        "examples/",
        "packaging/test_code_blocks.py",
        "reference/test_architectures.py",
        "reference/test_canny.py",
    ),
    *("reference/test_deepfill.py", "reference/test_partial_conv_masks.py", "rewrites/test_tuned_file.py"),
    *("python/test_types.py", "packaging/test_plugins.py", "web/"),
    *("sources/test_resnet_conversion.py", "sources/test_strangers_onnx.py"),
    *("packaging/test_core_install.py", "wolfram/test_nets.py", "wolfram/test_package.py"),
    *("wolfram/test_architectures.py", "wolfram/test_edge_connect_inpaint.py"),
)


class CaseBundle(NamedTuple):
    """A checkpoint, and the bundle made of it."""

    checkpoint: Path
    bundle: Bundle


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of slow files, so that `-m "not slow"` leaves them out."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def case_bundles(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CaseBundle]:
    """By an architecture's name, its small seeded net converted to onnx and mxnet, or to a pipeline's onnx; read only.

    All workers of a run share what one of them converted.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cases"
    shared.mkdir(exist_ok=True)

    def find(name: str, *, pipeline: bool = False) -> CaseBundle:
        folder = shared / f"{name}-pipeline" if pipeline else shared / name
        with FileLock(folder.with_suffix(".lock")):
            if not folder.exists():
                (case,) = (case for case in CASES if case.name == name)
                partial = folder.with_suffix(".partial")
                partial.mkdir()
                targets = ("onnx",) if pipeline else ("onnx", "mxnet")
                settings = Settings(targets, partial / "out", pipeline=pipeline)
                list(convert([case.write(partial)], settings, lambda step: None))
                partial.rename(folder)
        (checkpoint,) = (path for path in folder.iterdir() if path.is_file())
        return CaseBundle(checkpoint, read_bundle(next((folder / "out").iterdir())))

    return find


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The "edge" and the "inpaint" net at 4 base channels, 1 block: all the layers, little arithmetic."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {net: write_checkpoint(folder, net) for net in NETS}


@pytest.fixture(scope="session")
def conversions(checkpoints: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Conversion]:
    """Both nets converted to every target; read only: copy a bundle's folder before changing it."""
    settings = Settings(tuple(TARGETS), tmp_path_factory.mktemp("bundles"))
    return dict(zip(checkpoints, convert(list(checkpoints.values()), settings, lambda step: None), strict=True))


@pytest.fixture(scope="session")
def waists(checkpoints: Mapping[str, Path]) -> Mapping[str, Waist]:
    """The graphs that the targets of both nets start from."""
    made = {}
    for net, path in checkpoints.items():
        checkpoint = read_checkpoint(path)
        model = identify(checkpoint).build(checkpoint)
        folded = fold_spectral_norm(model.module)
        exported = export_onnx(model, folded)
        made[net] = Waist(model, folded, exported, simplify(exported))
    return made


@pytest.fixture(scope="session")
def shipped_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    """The pair that ships as one bundle, its files named in the wrong order; read only."""
    settings = Settings(("onnx", "trt"), tmp_path_factory.mktemp("pipeline"), pipeline=True)
    (conversion,) = convert(tuple(reversed(reference.registry.shipped_checkpoints())), settings, lambda step: None)
    return conversion


@pytest.fixture(scope="session")
def grey_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a stand-in for a pipeline, which paints the hole in one grey; read only."""
    folder = tmp_path_factory.mktemp("grey")
    (conversion,) = convert([write_model(folder, GREY_PIPELINE)], Settings(("onnx",), folder), lambda step: None)
    return conversion.bundle.folder
