"""Many photos on a real Ray of two cores: the bytes of one process, and nothing lost to killed actors."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

import pytest

from parity_tests.support.command import require_refusal, run_ganport
from parity_tests.support.deadly_plan import DEADLY, DEADLY_ONCE, DeadlyPlan, make_deadly
from parity_tests.support.many_photos import (
    BROKEN,
    COUNT,
    break_photos,
    make_expected,
    require_results,
    write_photos,
)

KILLED = "the process that worked on it ended 2 times (killed), for want of memory most likely"


@pytest.mark.filterwarnings("ignore")  # Ray warns of its own settings
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: extra ray")
def test_bytes_are_those_of_one_process_and_killed_actors_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = write_photos(tmp_path, COUNT)
    for number, level in ((2, DEADLY_ONCE), (7, DEADLY), (14, DEADLY_ONCE)):
        make_deadly(jobs[number].photo, level)
    break_photos(tmp_path)
    (tmp_path / "expected").mkdir()
    expected = make_expected(tmp_path, tmp_path / "expected")
    out = tmp_path / "out"
    for name in ("p00.png", "p01.png", "p03.png", "p04.png"):
        (out / name).write_bytes(expected[name])
    monkeypatch.setattr("converters.photos.many.on_ray.count_cores", lambda: 2)
    (tmp_path / "marks").mkdir()
    plan = functools.partial(DeadlyPlan, marks=tmp_path / "marks")
    monkeypatch.setattr("converters.terminal.fill_photos.Plan", plan)
    done = run_ganport("inpaint", tmp_path / "photos", tmp_path / "masks", "-o", out, "--engine", "ray")
    assert done.exit_code == 1, done.stderr
    assert f"4 of {COUNT} results were there already\n" in done.stderr
    failed = {**BROKEN, "p07.png": KILLED}
    good = {name: data for name, data in expected.items() if name not in failed}
    assert len(good) == COUNT - 3
    require_results(out, good, failed)


def test_ray_that_is_not_installed_is_said(
    grey_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path, 1)
    monkeypatch.setitem(sys.modules, "ray", None)
    command = ("inpaint", tmp_path / "photos", tmp_path / "masks", "-o", tmp_path / "new", "--bundle", grey_pipeline)
    done = run_ganport(*command, "--engine", "ray")
    assert done.exit_code == 4
    assert "Install ganport's extra ray." in done.stderr
    assert not (tmp_path / "new").exists()


def test_address_without_ray_is_refused(tmp_path: Path) -> None:
    write_photos(tmp_path, 1)
    done = run_ganport("inpaint", tmp_path / "photos", tmp_path / "masks", "--address", "auto")
    require_refusal(done, "--address goes with --engine ray", exit_code=2)
