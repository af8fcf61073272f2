"""Many photos: the same bytes however they are run, none lost to a killed process, and nothing done twice."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from PIL import Image

from converters.errors import PhotoError, UnrunnableError
from converters.inpaint import FILLING, Job, Outcome
from converters.photos.image_files import clear_partials
from converters.photos.many.failures import Failures
from converters.photos.many.listing import list_photos
from converters.photos.many.photo_job import SOURCE_KEY, Plan, run_job
from converters.photos.many.workers import run_on_workers
from converters.photos.marks import Reading
from parity_tests.support.command import run_ganport, time_limit
from parity_tests.support.deadly_plan import DEADLY, DEADLY_ONCE, DeadlyPlan, make_deadly
from parity_tests.support.many_photos import BROKEN, COUNT, break_photos, make_expected, require_results, write_photos
from parity_tests.support.places import ROOT

STUCK_S = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COUNT photos, two of them broken; read only."""
    folder = tmp_path_factory.mktemp("many")
    write_photos(folder, COUNT)
    break_photos(folder)
    return folder


@pytest.fixture(scope="module")
def expected(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    results = make_expected(photos, tmp_path_factory.mktemp("expected"))
    assert len(results) == COUNT - len(BROKEN)
    return results


@pytest.mark.parametrize("workers", [1, 3])
def test_bytes_are_the_same_with_any_number_of_processes(
    workers: int, photos: Path, expected: Mapping[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run_ganport("inpaint", photos / "photos", photos / "masks", "-o", out, "--workers", str(workers))
    assert done.exit_code == 1
    assert f"2 of {COUNT} photos failed. See {out / 'failed.jsonl'}; the others are done." in done.stderr
    require_results(out, expected, BROKEN)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_process_has_one_thread_on_which_the_last_bits_of_some_nets_depend(
    workers: str, grey_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []

    def run(jobs: Iterable[Job], plan: Plan, workers: int) -> Iterator[Outcome]:
        plans.append(plan)
        return iter([])

    monkeypatch.setattr("converters.terminal.fill_photos.run_on_workers", run)
    write_photos(tmp_path, 2)
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    run_ganport("inpaint", photos, masks, "--bundle", grey_pipeline, "--workers", workers)
    assert [plan.threads for plan in plans] == [1]


def test_photo_whose_process_is_killed_is_tried_in_a_new_one_and_fails_the_second_time(
    grey_pipeline: Path, tmp_path: Path
) -> None:
    jobs = write_photos(tmp_path, 9)
    for number, level in ((2, DEADLY_ONCE), (4, DEADLY), (6, DEADLY_ONCE)):
        make_deadly(jobs[number].photo, level)
    plan = DeadlyPlan(grey_pipeline, FILLING, marks=tmp_path)
    with time_limit(STUCK_S):
        outcomes = {outcome.job.photo.stem: outcome for outcome in run_on_workers(jobs, plan, 2)}
    assert sorted(outcomes) == [job.photo.stem for job in jobs]
    assert [name for name, outcome in outcomes.items() if outcome.error is not None] == ["p04"]
    assert "the process that worked on it ended 2 times (SIGKILL), for want of memory" in str(outcomes["p04"].error)
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted(outcomes.keys() - {"p04"})


def test_processes_that_never_get_ready_end_the_run(grey_pipeline: Path, tmp_path: Path) -> None:
    (job,) = write_photos(tmp_path, 1)
    plan = DeadlyPlan(grey_pipeline, FILLING, marks=tmp_path, opens=False)
    with pytest.raises(UnrunnableError, match=r"processes that open it end before they are ready \(SIGKILL\)"):
        list(run_on_workers([job], plan, 1))


def start(folder: Path, out: Path) -> subprocess.Popen[str]:
    command = (str(ROOT / "cli.py"), "inpaint", "photos", "masks", "-o", str(out), "--workers", "2")
    return subprocess.Popen(
        [sys.executable, *command], cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


def test_killed_run_is_taken_up_where_it_was(photos: Path, expected: Mapping[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".ganport-0123456789abcdef.partial").write_bytes(b"half")
    killed = start(photos, out)
    deadline = time.monotonic() + STUCK_S
    while len(list(out.glob("*.png"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    family = [killed, *psutil.Process(killed.pid).children(recursive=True)]
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=STUCK_S)
    _, alive = psutil.wait_procs(family[1:], timeout=STUCK_S)
    assert alive == []
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert 5 <= len(before) < len(expected)
    assert all((out / name).read_bytes() == expected[name] for name in before)
    again = start(photos, out)
    _, stderr = again.communicate(timeout=STUCK_S)
    assert again.returncode == 1
    assert f"{len(before)} of {COUNT} results were there already\n" in stderr
    require_results(out, expected, BROKEN)
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before


def test_partial_file_of_a_living_process_stays(tmp_path: Path) -> None:
    names = [".ganport-1.partial", ".ganport-2.partial", "mine.partial"]
    for name in names:
        (tmp_path / name).touch()
    with (tmp_path / names[0]).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        clear_partials(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [names[0], names[2]]


def test_result_is_made_again_if_it_is_of_other_files_options_or_bytes(grey_pipeline: Path, tmp_path: Path) -> None:
    (job,) = write_photos(tmp_path, 1)
    assert job.mask is not None
    with Plan(grey_pipeline, FILLING).open() as runner:

        def is_there(job: Job, digest: str = "one") -> bool:
            outcome = run_job(job, digest, runner)
            assert outcome.error is None
            return outcome.there

        assert not is_there(job)
        assert is_there(job)
        whole = job.out.read_bytes()
        place = whole.index(b"IDAT") + 20
        for damaged in (whole[:-12], whole[: len(whole) // 2], whole[:place] + b"\0\0" + whole[place + 2 :], b""):
            job.out.write_bytes(damaged)
            assert not is_there(job)
            assert job.out.read_bytes() == whole
        Image.open(job.photo).rotate(180).save(job.photo)
        assert not is_there(job)
        Image.open(job.mask).rotate(180).save(job.mask)
        assert not is_there(job)
        assert is_there(job)
        assert not is_there(job, "two")
        assert not is_there(job)
        for change in ({"reading": Reading(invert=True)}, {"context": 3}, {"draw": job.mask}, {"erase": job.mask}):
            other = dataclasses.replace(job, **change)  # type: ignore[arg-type]
            assert not is_there(other)
            assert is_there(other)
            assert not is_there(job)
    with Image.open(job.out) as image:
        assert len(image.info[SOURCE_KEY]) == 64


def test_run_begins_in_a_folder_without_what_a_killed_one_left(tmp_path: Path) -> None:
    for name in (".ganport-0.partial", "failed.jsonl", "a.png"):
        (tmp_path / name).touch()
    Failures(tmp_path).begin()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_failed_list_of_an_earlier_run_goes(grey_pipeline: Path, tmp_path: Path) -> None:
    jobs = write_photos(tmp_path, 2)
    whole = jobs[0].photo.read_bytes()
    command = ("inpaint", tmp_path / "photos", tmp_path / "masks", "-o", tmp_path / "out", "--bundle", grey_pipeline)
    jobs[0].photo.write_bytes(whole[:100])
    assert run_ganport(*command).exit_code == 1
    assert (tmp_path / "out" / "failed.jsonl").is_file()
    jobs[0].photo.write_bytes(whole)
    facts = json.loads(run_ganport(*command, "--json").stdout)
    assert (facts["written"], facts["skipped"]) == ([str(jobs[0].out)], [str(jobs[1].out)])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["p00.png", "p01.png"]


@pytest.mark.parametrize("header", ["", "photo,mask\n"])
def test_list_names_photos_and_masks(header: str, grey_pipeline: Path, tmp_path: Path) -> None:
    jobs = write_photos(tmp_path, 3)
    lines = "".join(f"{job.photo},{job.mask}\n" for job in jobs[:2])
    (tmp_path / "list.csv").write_text(header + lines)
    done = run_ganport("inpaint", tmp_path / "list.csv", "--bundle", grey_pipeline)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "list-inpainted" / job.photo.name) for job in jobs[:2]]


def test_list_of_photos_takes_masks_by_name_and_so_does_a_pattern(tmp_path: Path) -> None:
    jobs = write_photos(tmp_path, 3)
    (tmp_path / "list.csv").write_text("".join(f"{job.photo}\n" for job in jobs))
    pairs = [(str(job.photo), str(job.mask)) for job in jobs]
    assert list_photos(tmp_path / "list.csv", tmp_path / "masks").pairs == pairs
    assert list_photos(tmp_path / "photos" / "**" / "p0[01].*", tmp_path / "masks").pairs == pairs[:2]
    assert list_photos(tmp_path / "list.csv", None, filling=False).pairs == [(photo, None) for photo, _ in pairs]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it names no photo"),
        ("photo,mask\n", "it names no photo"),
        ("a.png,b.png\n\nc.png\n", "line 3 has 1 columns, of 2"),
        ("a.png,\n", "line 1 has a gap"),
        ("a.png,b.png\nx/a.jpg,b.png\n", "x/a.jpg: another photo has its name"),
        ("\udcff", "it is no list in UTF-8"),
    ],
)
def test_odd_list_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(PhotoError, match=said):
        list_photos(path, None)
