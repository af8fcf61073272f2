"""Every architecture, from its file alone to every target, on inputs of every kind."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from converters.parity.compare import ParityReport
from converters.parity.inputs import ParityInput, long_inputs
from converters.prove import prove
from converters.targets.proven import format_support, read_support
from converters.targets.registry import TARGETS
from converters.tensors import TensorSpec
from parity_tests.support.architecture_cases import CASES, ArchitectureCase, CaseBundle
from parity_tests.support.places import ROOT
from reference.checkpoint import read_checkpoint
from reference.registry import ARCHITECTURES, identify, open_architecture

RUN_HERE = ("onnx", "mxnet")
# EdgeConnect's are proven at their full size, on more than this: test_full_size.py.
NEW = [case for case in CASES if not case.name.startswith("edgeconnect")]
EACH = pytest.mark.parametrize("case", NEW, ids=str)


@pytest.fixture(scope="module")
def find_reports(case_bundles: Callable[..., CaseBundle]) -> Callable[[str], list[ParityReport]]:
    """The long set's squares of 256 and 512 on a net's bundle; `convert` itself proved the smaller ones."""

    def squares(inputs: Sequence[TensorSpec]) -> tuple[ParityInput, ...]:
        return tuple(given for given in long_inputs(inputs) if given.name.endswith(("256x256", "512x512")))

    @functools.cache
    def find(name: str) -> list[ParityReport]:
        checkpoint, bundle = case_bundles(name)
        return prove(bundle.folder, [checkpoint], squares, lambda step: None)[0]

    return find


def test_every_architecture_has_a_row() -> None:
    assert [case.name for case in CASES] == sorted(ARCHITECTURES)


def test_every_architecture_is_recorded_with_every_target_that_there_is() -> None:
    recorded = [(row.architecture, row.target) for row in read_support()]
    assert recorded == [(case.name, target) for case in CASES for target in TARGETS]


def test_docs_show_what_was_recorded() -> None:
    assert format_support(read_support()) in (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_architecture_is_identified_by_its_file_alone(case: ArchitectureCase, tmp_path: Path) -> None:
    assert identify(read_checkpoint(case.write(tmp_path))).name == case.name


@EACH
def test_every_gate_is_passed_at_256x256_and_512x512_by_one_and_by_two(
    case: ArchitectureCase, find_reports: Callable[[str], list[ParityReport]]
) -> None:
    reports = find_reports(case.name)
    assert [report.rung for report in reports] == list(RUN_HERE)
    for report in reports:
        assert report.passed
        assert report.outside == ()
        cases = {tensor.case for tensor in report.tensors}
        assert any(name.endswith("512x512") for name in cases)
        assert {tensor.item for tensor in report.tensors if tensor.case.endswith("256x256")} == {0, 1}
        for mask in ("small", "large", "border", "none", "full"):
            assert any(f"/{mask} " in name and name.endswith("256x256") for name in cases), mask


@EACH
def test_a_plane_that_is_all_hole_gives_finite_numbers_everywhere(
    case: ArchitectureCase, find_reports: Callable[[str], list[ParityReport]]
) -> None:
    for report in find_reports(case.name):
        full = [tensor for tensor in report.tensors if "/full 256x256" in tensor.case]
        assert full
        for tensor in full:
            assert tensor.metrics is not None
            assert tensor.metrics.non_finite == 0
            assert np.isfinite(tensor.metrics.max_abs)


@EACH
def test_engine_is_built(case: ArchitectureCase, case_bundles: Callable[..., CaseBundle]) -> None:
    folder = case_bundles(case.name).bundle.folder
    assert (folder / f"{case.name}.engine").stat().st_size > 0


def test_docs_give_the_sizes_that_each_net_takes() -> None:
    """In the last two columns of the table of nets; first those of the usual number of layers."""
    page = (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    told = {name.strip("`"): row[3:] for row in rows if len(row) == 5 for name in row[0].split(", ")}
    assert told.keys() == ARCHITECTURES.keys()
    for name, columns in told.items():
        spec = open_architecture(name).contract(raw=False).inputs[0]
        assert [int(column.split()[0]) for column in columns] == [spec.multiple_of, spec.minimum], name
