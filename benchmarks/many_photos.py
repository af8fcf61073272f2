"""Whether many photos get lost: processes and then the whole run are killed, and every byte is compared.

    python benchmarks/many_photos.py [--engine processes|ray] [--photos 2000]

Makes small photos, 3 % of them broken, and their results one after another in this process. Then runs the real
command, kills one of its processes with -9 at a quarter and at a half of the results, kills the command itself at three
quarters, and starts it again. Writes results/many_photos.json, a record for each engine.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
from PIL import Image

import reference.registry
from converters.bench.measure import read_environment
from converters.inpaint import FILLING, Job
from converters.photos.many.photo_job import Plan, hash_bundle, run_job
from converters.runners import count_cores

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "many_photos.json"
BROKEN_SHARE = 0.03
SAMPLE_S = 0.25
STUCK_S = 3600.0
# Of the results that are there when something is killed.
KILLS = {"worker": (0.25, 0.5), "command": (0.75,)}
# What a command line of a process that makes results holds.
WORKER_SIGNS = {"processes": "multiprocessing.spawn", "ray": "ray::MapWorker"}


def write_photos(folder: Path, count: int) -> dict[str, str]:
    """Write photos and masks; the broken ones by their names, and words of the reason that each must get."""
    for kind in ("photos", "masks"):
        (folder / kind).mkdir()
    random = np.random.default_rng(0)
    sources = [Image.open(path).convert("RGB") for path in sorted((ROOT / "reference" / "photos").glob("*.png"))]
    broken: dict[str, str] = {}
    chosen = set(random.choice(count, round(BROKEN_SHARE * count), replace=False).tolist())
    for number in range(count):
        source = sources[number % len(sources)]
        width, height = (int(side) for side in random.integers(40, 72, 2))
        left, top = int(random.integers(source.width - width)), int(random.integers(source.height - height))
        name = f"p{number:07}"
        photo, mask = folder / "photos" / f"{name}.jpg", folder / "masks" / f"{name}.png"
        source.crop((left, top, left + width, top + height)).save(photo, quality=92)
        hole = np.zeros((height, width), np.uint8)
        row, column = (int(random.integers(4, side // 2)) for side in (height, width))
        hole[row : row + height // 3, column : column + width // 3] = 255
        Image.fromarray(hole).save(mask)
        if number in chosen:
            broken[photo.name] = spoil(photo, mask, number % 4)
    return broken


def spoil(photo: Path, mask: Path, way: int) -> str:
    """Break a photo or its mask in one of four ways; words of the reason."""
    if way == 0:
        photo.write_bytes(photo.read_bytes()[: photo.stat().st_size // 2])
        return "it is damaged or cut short"
    if way == 1:
        photo.write_bytes(b"")
        return "it is no PNG"
    if way == 2:
        mask.write_text("no mask")
        return "it is no PNG"
    Image.new("L", (9, 9)).save(mask)
    return "Give both the same size"


def make_expected(folder: Path, out: Path, broken: Mapping[str, str]) -> Iterator[str]:
    """Make the results one after another in this process; the names of those that were made."""
    bundle = reference.registry.shipped_bundle()
    digest = hash_bundle(bundle)
    with Plan(bundle, FILLING).open() as runner:
        for photo in sorted((folder / "photos").iterdir()):
            job = Job(photo, folder / "masks" / f"{photo.stem}.png", out / f"{photo.stem}.png")
            outcome = run_job(job, digest, runner)
            assert (outcome.error is not None) == (photo.name in broken), outcome
            if outcome.error is None:
                yield job.out.name


class Command:
    """The real command, its processes, and the memory that they take.

    Attributes:
        rss_mib: (results that are there, MiB of the command, MiB of its largest worker), over time.
    """

    def __init__(self, folder: Path, engine: str, log: Path) -> None:
        self._engine = engine
        self._out = folder / "out"
        args = (str(ROOT / "cli.py"), "inpaint", "photos", "masks", "-o", "out", "--engine", engine)
        self._log = log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, *args, "--workers", "2"], cwd=folder, stdout=subprocess.DEVNULL, stderr=self._log
        )
        self.rss_mib: list[tuple[int, float, float]] = []

    def family(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def workers(self) -> list[psutil.Process]:
        found = []
        for process in self.family():
            with suppress(psutil.Error):
                if WORKER_SIGNS[self._engine] in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def wait_for(self, results: float) -> bool:
        """Wait until so many results are there, or the command has ended; whether they are."""
        deadline = time.monotonic() + STUCK_S
        while self.process.poll() is None and time.monotonic() < deadline:
            count = count_results(self._out)
            self._sample(count)
            if count >= results:
                return True
            time.sleep(SAMPLE_S)
        return False

    def _sample(self, count: int) -> None:
        with suppress(psutil.Error):
            drivers = [each for each in self.family() if "cli.py" in " ".join(each.cmdline())]
            sizes = [each.memory_info().rss / 2**20 for each in self.workers()]
            if sizes and drivers:
                self.rss_mib.append((count, max(each.memory_info().rss / 2**20 for each in drivers), max(sizes)))

    def kill_worker(self, random: np.random.Generator) -> int:
        """Kill one of the workers, the command's own processes among them left alone; its process number."""
        while not (workers := self.workers()):
            time.sleep(SAMPLE_S)
        victim = workers[int(random.integers(len(workers)))]
        victim.send_signal(signal.SIGKILL)
        return victim.pid

    def kill(self) -> None:
        """Kill the command, and wait until all of its processes have ended."""
        family = self.family()
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        _, alive = psutil.wait_procs(family, timeout=120)
        assert alive == [], alive


def count_results(out: Path) -> int:
    return sum(1 for path in out.glob("*.png")) if out.is_dir() else 0


def summarize_memory(samples: list[tuple[int, float, float]], good: int) -> dict[str, Any]:
    """MiB, medians over fifths of the results."""
    parts: dict[str, Any] = {}
    for name, column in (("command", 1), ("largest_worker", 2)):
        fifths: list[list[float]] = [[] for _ in range(5)]
        for sample in samples:
            fifths[min(4, 5 * sample[0] // good)].append(sample[column])
        parts[name] = [round(statistics.median(values), 1) if values else None for values in fifths]
    return parts


@click.command()
@click.option("--engine", type=click.Choice(list(WORKER_SIGNS)), default="processes", show_default=True)
@click.option("--photos", default=2000, show_default=True)
def main(engine: str, photos: int) -> None:
    """Run, kill, compare and record."""
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        broken = write_photos(folder, photos)
        (folder / "expected").mkdir()
        start = time.monotonic()
        names = set(make_expected(folder, folder / "expected", broken))
        one_process_s = time.monotonic() - start
        good = len(names)
        print(f"{good} results made in one process in {one_process_s:.0f} s", flush=True)
        record = kill_and_compare(folder, engine, broken, names, random)
    record = {
        "environment": read_environment(1),
        "ray": version("ray") if engine == "ray" else None,
        "load_average": os.getloadavg(),
        "photos": photos,
        "broken": len(broken),
        "one_process_s": round(one_process_s, 1),
        **record,
    }
    records = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    RESULTS.write_text(json.dumps({**records, engine: record}, indent=2) + "\n")
    print(json.dumps(record, indent=2))


def kill_and_compare(
    folder: Path, engine: str, broken: Mapping[str, str], names: set[str], random: np.random.Generator
) -> dict[str, Any]:
    """Run the command, kill, run it again, and compare all that it left."""
    out, good = folder / "out", len(names)
    start = time.monotonic()
    first = Command(folder, engine, folder / "first.log")
    killed = []
    for share in KILLS["worker"]:
        assert first.wait_for(share * good), "the command ended early"
        killed.append(first.kill_worker(random))
        print(f"killed worker {killed[-1]} with {count_results(out)} results there", flush=True)
    assert first.wait_for(KILLS["command"][0] * good), "the command ended early"
    first.kill()
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    print(f"killed the command with {len(before)} results there", flush=True)
    half = [name for name in before if (out / name).read_bytes() != (folder / "expected" / name).read_bytes()]
    second = Command(folder, engine, folder / "second.log")
    second.wait_for(len(names) + 1)
    said = (folder / "second.log").read_text()
    found = {path.name for path in out.iterdir()}
    lines = [json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines()]
    listed = {Path(line["photo"]).name: line["error"] for line in lines}
    record = {
        "engine": engine,
        "workers": 2,
        "cores": count_cores(),
        "seconds": round(time.monotonic() - start, 1),
        "workers_killed": len(killed),
        "there_when_the_command_was_killed": len(before),
        "not_whole_when_the_command_was_killed": len(half),
        "said_to_be_there_already": f"{len(before)} of {good + len(broken)} results were there already" in said,
        "exit_code": second.process.returncode,
        "missing": len(names - found),
        "other_files": sorted(found - names - {"failed.jsonl"}),
        "different_bytes": sum(
            (out / name).read_bytes() != (folder / "expected" / name).read_bytes() for name in names & found
        ),
        "made_again": sum((out / name).stat().st_mtime_ns != stamp for name, stamp in before.items()),
        "listed_as_failed": len(lines),
        "wrongly_listed": sorted(listed.keys() ^ broken.keys())
        + [name for name, words in broken.items() if words not in listed.get(name, "")],
        "rss_mib_by_fifths_of_the_results": summarize_memory([*first.rss_mib, *second.rss_mib], good),
    }
    flaws = ("not_whole_when_the_command_was_killed", "missing", "other_files", "different_bytes", "made_again")
    record["nothing_lost"] = (
        not any(record[flaw] for flaw in (*flaws, "wrongly_listed"))
        and bool(record["said_to_be_there_already"])
        and (record["exit_code"], record["listed_as_failed"]) == (1, len(broken))
    )
    return record


if __name__ == "__main__":
    main()
