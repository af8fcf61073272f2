"""Many photos on a real Ray of two cores: the bytes of one process, and nothing lost to killed actors."""

from __future__ import annotations

import functools
import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from converters.errors import PhotoError
from converters.photos.many.urls import list_urls, read_url
from parity_tests.support.command import require_refusal, run_ganport, time_limit
from parity_tests.support.deadly_plan import DEADLY, DEADLY_ONCE, DeadlyPlan, make_deadly
from parity_tests.support.many_photos import (
    BROKEN,
    COUNT,
    break_photos,
    make_expected,
    require_results,
    write_photos,
)

STUCK_S = 300
KILLED = "the process that worked on it ended 2 times (killed), for want of memory most likely"


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves Ray's sockets room in the 107 bytes that theirs may have."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        yield Path(folder)


@pytest.mark.filterwarnings("ignore")  # Ray warns of its own settings
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: extra ray")
def test_bytes_are_those_of_one_process_and_killed_actors_lose_nothing(
    tmp_path: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(short_path))
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
    photos, masks = f"file://{tmp_path}/photos", f"file://{tmp_path}/masks"
    with time_limit(STUCK_S):
        done = run_ganport("inpaint", photos, masks, "-o", out, "--engine", "ray")
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


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed: extra ray")
def test_files_of_a_url_are_listed_and_read_by_the_same_rules(tmp_path: Path) -> None:
    jobs = write_photos(tmp_path, 2)
    (tmp_path / "photos" / "Thumbs.db").touch()
    photos, masks = f"file://{tmp_path}/photos", f"file://{tmp_path}/masks"
    matched = list_urls(photos, masks)
    assert matched.pairs == [(str(job.photo), str(job.mask)) for job in jobs]
    assert matched.skipped == [str(tmp_path / "photos" / "Thumbs.db")]
    assert list_urls(photos, None).pairs == [(str(job.photo), None) for job in jobs]
    assert read_url(photos, jobs[0].photo) == jobs[0].photo.read_bytes()
    with pytest.raises(PhotoError, match=r"p07.png: it cannot be read \(.*Check the URL, the network"):
        read_url(photos, tmp_path / "p07.png")
    with pytest.raises(PhotoError, match="nowhere: it cannot be listed"):
        list_urls(f"file://{tmp_path}/nowhere", None)
    with pytest.raises(PhotoError, match="nothing://here: it cannot be opened"):
        list_urls("nothing://here", None)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("file:///photos", "file:///masks", "-o", "out"), "A URL goes with --engine ray"),
        (("file:///photos", "masks", "-o", "out", "--engine", "ray"), "A URL of masks goes with a URL of photos"),
        (("photos", "file:///masks", "-o", "out", "--engine", "ray"), "A URL of masks goes with a URL of photos"),
        (("file:///photos", "-o", "out", "--engine", "ray"), "Missing argument 'MASK'"),
        (("file:///photos", "file:///masks", "--engine", "ray"), "name the folder of results with -o"),
        (("a.png", "b.png", "--engine", "ray"), "--engine ray goes with folders"),
        (("a.png", "b.png", "--workers", "2"), "--workers goes with folders"),
    ],
)
def test_options_that_do_not_go_together_are_refused(args: tuple[str, ...], said: str) -> None:
    require_refusal(run_ganport("inpaint", *args), said, exit_code=2)


def test_address_without_ray_is_refused(tmp_path: Path) -> None:
    write_photos(tmp_path, 1)
    done = run_ganport("inpaint", tmp_path / "photos", tmp_path / "masks", "--address", "auto")
    require_refusal(done, "--address goes with --engine ray", exit_code=2)
