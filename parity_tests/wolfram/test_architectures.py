"""Every architecture's package builds a net that computes what the untouched module computes, in both kinds of version.

Few inputs here; benchmarks/wolfram_parity.py runs the long set, and its results are recorded.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converters.parity.compare import require_passed
from converters.parity.inputs import GOLDEN_SIZE, golden_input, short_inputs
from converters.sources.torch_source import run_reference
from converters.targets.wolfram.target import WolframTarget
from parity_tests.support.architecture_cases import CASES, CaseBundle
from parity_tests.support.mathics import Symbol
from parity_tests.support.places import ROOT
from parity_tests.support.wolfram_layers import UndocumentedError
from parity_tests.support.wolfram_nets import OF_ONE_SIZE, WrittenNet, read_net, write_net

GATE = WolframTarget.gate
# Those of EdgeConnect are in test_nets.py.
OTHERS = tuple(case.name for case in CASES if not case.name.startswith("edgeconnect-"))
# One before NormalizationLayer and NumericArray, and one of today.
VERSIONS = (11.3, 13.0)
# Nets of "ChannelGroups", which version 11 lacks.
NEED_12 = ("aot-gan", "deepfill-v2", "mi-gan", "partial-conv")


@pytest.fixture(scope="module")
def find_net(case_bundles: Callable[..., CaseBundle]) -> Callable[[str], WrittenNet]:
    """Written for any size where that is possible."""
    return lambda name: read_net(*case_bundles(name))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OTHERS)
def test_net_of_the_package_passes_the_gate_in_every_version(
    name: str, version: float, find_net: Callable[[str], WrittenNet]
) -> None:
    written = find_net(name)
    runner = written.open(version)
    if version < 12 and name in NEED_12:
        assert runner.kernel.evaluate(f"{runner.builder}[]") == Symbol("$Failed")
        needs = "This net needs version 12 of the Wolfram Language or later; this is 11.3."
        assert runner.kernel.said == [f"version: {needs}"]
        return
    given = golden_input(written.model.inputs, GOLDEN_SIZE if name in OF_ONE_SIZE else None)
    (report,) = run_reference(written.model, [given]).compare("wolfram", GATE, runner)
    require_passed(report, name)
    assert report.outside == ()


@pytest.mark.parametrize("raw", [False, True], ids=["whole", "raw"])
@pytest.mark.parametrize("name", OF_ONE_SIZE)
def test_net_of_one_size_passes_the_gate_at_another_size(name: str, raw: bool, tmp_path: Path) -> None:
    size = (80, 64)
    written = write_net(name, tmp_path, raw=raw, size=size)
    given = short_inputs(written.model.inputs, size)[3:4]
    (report,) = run_reference(written.model, given).compare("wolfram", GATE, written.open())
    require_passed(report, written.folder)


@pytest.mark.parametrize("name", [name for name in OTHERS if name not in OF_ONE_SIZE])
def test_bare_net_passes_the_gate(name: str, tmp_path: Path) -> None:
    written = write_net(name, tmp_path, raw=True)
    (report,) = run_reference(written.model, [golden_input(written.model.inputs)]).compare(
        "wolfram", GATE, written.open()
    )
    require_passed(report, name)


def test_net_whose_layers_depend_on_the_size_takes_the_golden_cases_size_only(
    find_net: Callable[[str], WrittenNet],
) -> None:
    written = find_net("deepfill-v2")
    height, width = GOLDEN_SIZE
    assert written.artifact.details["size"] == [height, width]
    runner = written.open()
    assert runner.kernel.evaluate(f'{runner.builder}["ImageSize" -> {{128, 128}}]') == Symbol("$Failed")
    only = f'"ImageSize" is {{width, height}}, and this net was converted for {{{width}, {height}}} only.'
    assert runner.kernel.said == [f"size: {{128, 128}} is no size of this net. {only}"]
    assert f"and this net was converted for {{{width}, {height}}} only" in runner.kernel.evaluate(
        f"{runner.builder}::usage"
    )


def test_older_layers_are_no_layers_of_newer_versions(find_net: Callable[[str], WrittenNet]) -> None:
    """The package asks $VersionNumber when it is used: what it makes for one version does not run in another."""
    written = find_net("style-transfer")
    runner = written.open(11.3)
    runner.version = 13.0
    feeds = {"image": np.zeros((1, 3, 8, 8), np.float32)}
    with pytest.raises(UndocumentedError, match=r"InstanceNormalizationLayer|RawArray"):
        runner.run(feeds)
    runner = written.open(13.0)
    runner.version = 11.3
    with pytest.raises(UndocumentedError, match=r"NormalizationLayer|NumericArray"):
        runner.run(feeds)


def test_long_set_is_recorded_for_every_architecture_and_passed() -> None:
    """Whole and bare; nets of one size at two."""
    rows = json.loads((ROOT / "benchmarks" / "results" / "wolfram_parity.json").read_text(encoding="utf-8"))["rows"]
    runs = Counter((row["architecture"], row["raw"]) for row in rows)
    assert runs == {(case.name, raw): 1 + (case.name in OF_ONE_SIZE) for case in CASES for raw in (False, True)}
    assert all(row["passed"] for row in rows)
