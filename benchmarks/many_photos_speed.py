"""What many photos cost: each step of one photo, processes against one process, and Ray against both.

    python benchmarks/many_photos_speed.py [--rounds 5] [--photos 40] [--side 256]

The ways to run take turns, so that whatever slows the machine slows all of them alike; ratios are of the medians of the
rounds. Photos per second mean something on a machine that does nothing else (see "load_average"); what a photo takes of
the cores' own time does on any. Ray takes part if it is installed. Writes results/many_photos_speed.json.
"""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

import reference.registry
from converters.bench.measure import read_environment
from converters.inpaint import FILLING, Job, Outcome, compute
from converters.photos.image_files import encode_photo, write_whole
from converters.photos.many.on_ray import LOCAL, RayPlan, run_on_ray
from converters.photos.many.photo_job import SOURCE_KEY, Loaded, Plan, hash_bundle, load_job
from converters.photos.many.workers import run_on_workers
from converters.runners import OnnxRunner

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "many_photos_speed.json"
BUNDLE = reference.registry.shipped_bundle()
Run = Callable[[Sequence[Job]], Iterator[Outcome]]
# Height and width of the photos whose steps are timed.
SIDES = (64, 256, 512, 1024)
MILLION = 10**6
# Of the machines that the prediction is for.
CORES = 8
ONE, TWO, ONE_OF_TWO = "1 worker of 1 thread", "2 workers of 1 thread", "1 worker of 2 threads"
RAY = "Ray, 2 actors of 1 thread"


def ray_version() -> str | None:
    try:
        return version("ray")
    except PackageNotFoundError:
        return None


def write_jobs(folder: Path, count: int, side: int) -> list[Job]:
    """So many square photos, JPEG as cameras write them, and masks of an eighth of their area."""
    for kind in ("photos", "masks"):
        (folder / kind).mkdir(parents=True)
    source = Image.open(ROOT / "reference" / "photos" / "coffee.png").convert("RGB")
    hole = np.zeros((side, side), np.uint8)
    hole[side // 4 : side // 2, side // 4 : 3 * side // 4] = 255
    jobs = []
    for number in range(count):
        left = number % 60
        photo, mask = folder / "photos" / f"p{number:05}.jpg", folder / "masks" / f"p{number:05}.png"
        source.crop((left, 0, left + 400, 400)).resize((side, side)).save(photo, quality=92)
        Image.fromarray(hole).save(mask)
        jobs.append(Job(photo, mask, folder / "out" / f"p{number:05}.png"))
    return jobs


@contextmanager
def add_ms(values: list[float], clock: Callable[[], float]) -> Iterator[None]:
    start = clock()
    yield
    values.append(1000 * (clock() - start))


def time_steps(scratch: Path, repeats: int) -> list[dict[str, Any]]:
    """Medians in ms of the steps of one photo, of several sizes, on one core.

    Decoding, computing and encoding are counted in the core's own time, so that other work on the machine does not
    count; reading and writing by the clock, as they wait.
    """
    rows = []
    digest = hash_bundle(BUNDLE)
    with Plan(BUNDLE, FILLING, threads=1).open() as runner:
        for side in SIDES:
            (job, *_) = write_jobs(scratch / f"steps-{side}", 1, side)
            job.out.parent.mkdir()
            steps: dict[str, list[float]] = {"read": [], "decode_and_compute": [], "encode": [], "write": []}
            for _ in range(repeats):
                job.out.unlink(missing_ok=True)
                with add_ms(steps["read"], time.perf_counter):
                    loaded = load_job(job, digest)
                assert isinstance(loaded, Loaded)
                with add_ms(steps["decode_and_compute"], time.process_time):
                    filled = compute(job, runner, loaded.files)
                texts = {SOURCE_KEY: loaded.source}
                with add_ms(steps["encode"], time.process_time):
                    data = encode_photo(".png", filled.given.photo, filled.rgb, filled.given.opaque, texts)
                with add_ms(steps["write"], time.perf_counter):
                    write_whole(job.out, data)
            medians = {name: round(statistics.median(values), 3) for name, values in steps.items()}
            read_bytes = sum(len(each) for each in loaded.files.values())
            total = sum(medians.values())
            rows.append(
                {
                    "side": side,
                    "megapixels": side * side / MILLION,
                    "bytes_read": read_bytes,
                    "bytes_written": len(data),
                    "ms": medians,
                    "total_ms": round(total, 2),
                }
            )
            print(rows[-1], flush=True)
    return rows


def compare_batches(repeats: int, count: int = 4) -> list[dict[str, float]]:
    """A core's time for so many photos of equal size in one run of the nets, over its time for one after another."""
    rows = []
    runner = OnnxRunner(BUNDLE / "edgeconnect.onnx", threads=1)
    for side in SIDES[:2]:
        photo = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
        mask = np.zeros((1, side, side), np.uint8)
        mask[:, side // 4 : side // 2] = 1
        one = {"photo": photo, "mask": mask, "edge_edits": np.zeros(mask.shape, np.int8)}
        batch = {name: np.concatenate([array] * count) for name, array in one.items()}
        alone: list[float] = []
        together: list[float] = []
        for _ in range(repeats):
            with add_ms(alone, time.process_time):
                results = [runner.run(one) for _ in range(count)]
            with add_ms(together, time.process_time):
                result = runner.run(batch)
        same = all(np.array_equal(result["result"][at : at + 1], results[at]["result"]) for at in range(count))
        ratio = statistics.median(together) / statistics.median(alone)
        rows.append({"side": side, "batch": count, "time_ratio": round(ratio, 3), "same_bits": same})
    return rows


def fit_line(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Total ms of a photo as a + b * megapixels: least squares of the relative errors."""
    x = np.array([row["megapixels"] for row in rows])
    y = np.array([row["total_ms"] for row in rows])
    a, b = np.linalg.lstsq(np.stack([1 / y, x / y], axis=1), np.ones(len(rows)), rcond=None)[0]
    worst = float(np.abs((a + b * x) / y - 1).max())
    return {"ms_per_photo": round(float(a), 2), "ms_per_megapixel": round(float(b), 1), "worst_error": round(worst, 3)}


def time_run(run: Run, jobs: Sequence[Job], workers: int) -> dict[str, float]:
    """Photos a second, with the start and without it, and this process's own time per photo without the start."""
    start = time.perf_counter()
    moments, own_s = [], []
    for outcome in run(jobs):
        assert outcome.error is None, outcome
        moments.append(time.perf_counter())
        own_s.append(time.process_time())
    later = len(jobs) - workers
    return {
        "photos_per_s_with_start": len(jobs) / (moments[-1] - start),
        "photos_per_s": later / (moments[-1] - moments[workers - 1]),
        "own_ms_per_photo": 1000 * (own_s[-1] - own_s[workers - 1]) / later,
    }


def empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def run_through_ray(scratch: Path, photos: int) -> dict[str, float]:
    """What Ray itself takes: photos whose results are there are read and handed on, and nothing is computed."""
    jobs = write_jobs(scratch / "there", photos, min(SIDES))
    empty(jobs[0].out.parent)
    assert all(outcome.error is None for outcome in run_on_workers(jobs, Plan(BUNDLE, FILLING, 1), 2))
    return {"photos": photos, **time_run(on_ray, jobs, 2)}


def on_ray(jobs: Sequence[Job]) -> Iterator[Outcome]:
    return run_on_ray(jobs, Plan(BUNDLE, FILLING, 1), RayPlan(LOCAL, 2))


def predict(line: Mapping[str, float], row: Mapping[str, Any], own_ms: float) -> list[dict[str, Any]]:
    """Hours that a million photos like `row` take on so many machines, and what that asks of storage and driver."""
    second_per_photo = (line["ms_per_photo"] + line["ms_per_megapixel"] * row["megapixels"]) / 1000
    rows = []
    for machines in (1, 10, 100):
        photos_per_s = machines * CORES / second_per_photo
        moved = row["bytes_read"] + row["bytes_written"]
        rows.append(
            {
                "side": row["side"],
                "machines": machines,
                "cores_each": CORES,
                "hours": round(MILLION / photos_per_s / 3600, 1),
                "storage_mb_per_s": round(photos_per_s * moved / MILLION, 1),
                "share_of_the_drivers_core": round(photos_per_s * own_ms / 1000, 3),
            }
        )
    return rows


def children_s() -> float:
    """The cores' time of processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def core_ms(run: Run, jobs: Sequence[Job], workers: int) -> float:
    """The cores' time per photo, without what the processes take to begin and for their first photo."""
    begin = children_s()
    for given in (jobs[:workers], jobs):
        empty(jobs[0].out.parent)
        middle = children_s()
        assert all(outcome.error is None for outcome in run(given))
    return 1000 * (children_s() - middle - (middle - begin)) / (len(jobs) - workers)


def run_in_turn(scratch: Path, rounds: int, photos: int, side: int) -> dict[str, Any]:
    """Medians over the rounds of each way to run, and ratios to one worker of one thread."""
    jobs = write_jobs(scratch / "turns", photos, side)
    ways: dict[str, tuple[Run, int]] = {
        ONE: (lambda jobs: run_on_workers(jobs, Plan(BUNDLE, FILLING, 1), 1), 1),
        TWO: (lambda jobs: run_on_workers(jobs, Plan(BUNDLE, FILLING, 1), 2), 2),
        ONE_OF_TWO: (lambda jobs: run_on_workers(jobs, Plan(BUNDLE, FILLING, 2), 1), 1),
    }
    if ray_version() is not None:
        ways[RAY] = (on_ray, 2)
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, (run, workers) in ways.items():
            empty(jobs[0].out.parent)
            measured[name].append(time_run(run, jobs, workers))
            if name != RAY:  # whose processes are not this one's children
                measured[name][-1]["core_ms_per_photo"] = core_ms(run, jobs, workers)
            print(number, name, measured[name][-1], flush=True)
    medians = {
        name: {key: statistics.median(each[key] for each in values) for key in values[0]}
        for name, values in measured.items()
    }
    ratios = {
        name: {key: value / medians[ONE][key] for key, value in row.items() if key != "own_ms_per_photo"}
        for name, row in medians.items()
    }
    return {
        "photos": photos,
        "side": side,
        "rounds": rounds,
        "measured": measured,
        "medians": medians,
        "ratio_to_one_worker_of_one_thread": ratios,
    }


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--photos", default=40, show_default=True)
@click.option("--side", default=256, show_default=True)
@click.option("--repeats", default=7, show_default=True, help="Of each step of one photo.")
def main(rounds: int, photos: int, side: int, repeats: int) -> None:
    """Measure and record."""
    with tempfile.TemporaryDirectory() as scratch:
        turns = run_in_turn(Path(scratch), rounds, photos, side)
        steps = time_steps(Path(scratch), repeats)
        through = run_through_ray(Path(scratch), 2000) if RAY in turns["medians"] else None
    line = fit_line(steps)
    own_ms = through["own_ms_per_photo"] if through is not None else math.nan
    record = {
        "environment": read_environment(1),
        "ray": ray_version(),
        "load_average": os.getloadavg(),
        "steps_on_one_core": steps,
        "line": line,
        "batches": compare_batches(repeats),
        "turns": turns,
        "ray_alone": through,
        "a_million_photos": [row for step in steps if step["side"] >= 512 for row in predict(line, step, own_ms)],
    }
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps({"line": line, **turns["ratio_to_one_worker_of_one_thread"]}, indent=2))


if __name__ == "__main__":
    main()
