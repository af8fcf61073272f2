"""Small seeded checkpoints and the bundles made from them, once per run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from converters.pipeline import Conversion, Settings, convert
from converters.targets import TARGETS
from parity_tests.seeded_checkpoints import NETS, write_checkpoint


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
