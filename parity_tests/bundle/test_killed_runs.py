"""Runs that are killed or interrupted: what is there afterwards is whole, or nothing, and the next run clears up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from parity_tests.support.killed_runs import NAME
from parity_tests.support.places import ROOT

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def run_killer(folder: Path, *checkpoints: Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "parity_tests.support.killed_runs", folder, *checkpoints],
        stdout=subprocess.PIPE,
        check=True,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD},
    )
    return json.loads(done.stdout.splitlines()[-1])


def require_whole(case: Mapping[str, Any], name: str) -> None:
    """Nothing that passes for a bundle is incomplete; after the next run the old or the new one is there, alone."""
    assert "incomplete" not in case["found"].values()
    assert case["left"] == list(case["after_next_run"])
    if case["overwrite"]:
        assert case["after_next_run"] in ({name: "old"}, {name: "new"})
    else:
        assert case["after_next_run"] in ({}, {name: "new"})


@pytest.fixture(scope="module")
def facts(checkpoints: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What 20 killed conversions left, 3 interrupted by Ctrl-C and 2 ended by SIGTERM."""
    return run_killer(tmp_path_factory.mktemp("killed"), checkpoints["edge"])


def test_conversion_killed_at_any_moment_leaves_whole_bundles_only(facts: Any) -> None:
    assert len(facts["kills"]) == 20
    assert sum(kill["partial"] for kill in facts["kills"]) >= 10
    for kill in facts["kills"]:
        require_whole(kill, NAME)
    assert facts["left"] == [NAME]
    assert facts["at_last"] == {NAME: "new"}


def test_writing_killed_before_any_operation_leaves_whole_bundles_only(tmp_path: Path) -> None:
    cases = run_killer(tmp_path)
    assert sum(case["killed"] for case in cases) > 50
    for case in cases:
        require_whole(case, "b")
    outcomes = {(case["overwrite"], *case["after_next_run"].values()) for case in cases if case["killed"]}
    assert outcomes >= {(False,), (True, "old"), (True, "new")}


def test_interrupted_conversion_leaves_nothing_and_no_traceback(facts: Any) -> None:
    assert len(facts["interrupts"]) == 5
    for run in facts["interrupts"]:
        exit_code, said = {"SIGINT": (130, "interrupted"), "SIGTERM": (143, "terminated")}[run["signal"]]
        assert run["exit_code"] == exit_code
        assert "Traceback" not in run["said"]
        assert run["said"].endswith(f"ganport: {said}\n")
        assert run["left"] is False
