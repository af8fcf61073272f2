"""Bundles hold no trace of the machine or the process that made them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from converters.bundle.checksums import list_files
from converters.convert import Conversion
from converters.targets.registry import TARGETS
from parity_tests.support.places import ROOT
from parity_tests.support.waist import Waist

TRACES = (
    str(ROOT),
    f"/{ROOT.parts[1]}/",
    sys.prefix,
    str(Path.home()),
    tempfile.gettempdir(),
    "/home/",
    "/root/",
    "site-packages",
)
SUMS, MANIFEST = "SHA256SUMS", "manifest.json"


def find_traces(data: bytes) -> list[str]:
    return [trace for trace in TRACES if trace.encode() in data]


@pytest.mark.parametrize("net", ["edge", "inpaint"])
def test_no_file_of_a_bundle_holds_an_absolute_path(net: str, conversions: Mapping[str, Conversion]) -> None:
    folder = conversions[net].bundle.folder
    files = list_files(folder)
    suffixes = {".onnx", ".json", ".params", ".engine", ".wl", ".wxf", ".md", ".npy", ""}
    assert {Path(file).suffix for file in files} == suffixes
    assert {file: traces for file in files if (traces := find_traces((folder / file).read_bytes()))} == {}


def test_search_finds_the_paths_that_the_exporter_leaves(waists: Mapping[str, Waist]) -> None:
    assert {str(ROOT), "site-packages"} <= set(find_traces(waists["edge"].exported.SerializeToString()))


@pytest.fixture(scope="module")
def twins(checkpoints: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What another process, whose sets are ordered otherwise, makes of the same checkpoints in another place."""
    out = tmp_path_factory.mktemp("another") / "deeper"
    seed = next(seed for seed in ("1", "2") if seed != os.environ.get("PYTHONHASHSEED"))
    result = subprocess.run(
        [sys.executable, "-m", "cli", "convert", *map(str, checkpoints.values()), "--to", ",".join(TARGETS), "-o", out],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return out


def blank_engine(manifest: bytes) -> dict[str, object]:
    """The manifest without what tells of the engine's bytes."""
    content: dict[str, object] = json.loads(manifest)
    files = content["files"]
    assert isinstance(files, dict)
    (engine,) = (file for file in files if file.endswith(".engine"))
    files[engine]["sha256"] = files[engine]["size"] = None
    return content


@pytest.mark.parametrize("net", ["edge", "inpaint"])
def test_two_processes_give_the_same_bytes_but_for_the_engine_and_its_hashes(
    net: str, twins: Path, conversions: Mapping[str, Conversion]
) -> None:
    one, other = conversions[net].bundle.folder, twins / f"edgeconnect-{net}"
    assert list_files(one) == list_files(other)
    differing = {file for file in list_files(one) if (one / file).read_bytes() != (other / file).read_bytes()}
    assert differing <= {f"edgeconnect-{net}.engine", SUMS, MANIFEST}
    assert blank_engine((one / MANIFEST).read_bytes()) == blank_engine((other / MANIFEST).read_bytes())
    lines = set((one / SUMS).read_text().splitlines()) ^ set((other / SUMS).read_text().splitlines())
    assert {line[66:] for line in lines} <= {f"edgeconnect-{net}.engine", MANIFEST}
