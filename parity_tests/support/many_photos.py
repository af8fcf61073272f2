"""Small photos with masks, and their results as one process makes them one after another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

import reference.registry
from converters.inpaint import FILLING, Job
from converters.photos.many.photo_job import Plan, hash_bundle, run_job
from parity_tests.support.command import list_tree
from parity_tests.support.places import PHOTOS

COUNT = 24
BROKEN = {"p05.png": "it is damaged or cut short", "p11.png": "it is no PNG"}


def write_photos(folder: Path, count: int) -> list[Job]:
    """So many photos of several sizes, and their masks; a job for each, with results in `folder`/out."""
    for name in ("photos", "masks", "out"):
        (folder / name).mkdir()
    coffee = Image.open(PHOTOS / "coffee.png").convert("RGB")
    jobs = []
    for number in range(count):
        height, width = 40 + 4 * (number % 5), 44 + 4 * (number % 3)
        photo, mask = (folder / kind / f"p{number:02}.png" for kind in ("photos", "masks"))
        left, top = 9 * number % 500, 5 * number % 300
        coffee.crop((left, top, left + width, top + height)).save(photo)
        hole = np.zeros((height, width), np.uint8)
        hole[10:20, 12 : 16 + number % 7] = 255
        Image.fromarray(hole).save(mask)
        jobs.append(Job(photo, mask, folder / "out" / photo.name))
    return jobs


def break_photos(folder: Path) -> None:
    """Damage those of BROKEN."""
    whole, other = (folder / "photos" / name for name in BROKEN)
    whole.write_bytes(whole.read_bytes()[:600])
    other.write_bytes(b"no picture")


def make_expected(folder: Path, out: Path) -> Mapping[str, bytes]:
    """The results' bytes by their names, made in this process by the pair that ships; `out` is an empty folder."""
    bundle = reference.registry.shipped_bundle()
    digest = hash_bundle(bundle)
    with Plan(bundle, FILLING).open() as runner:
        for photo in sorted((folder / "photos").iterdir()):
            run_job(Job(photo, folder / "masks" / photo.name, out / photo.name), digest, runner)
    return {path.name: path.read_bytes() for path in out.iterdir()}


def require_results(out: Path, expected: Mapping[str, bytes], failed: Mapping[str, str]) -> None:
    """Every good photo's result is there, once and whole, and the others are listed with their reasons."""
    found = list_tree(out)
    listed = found.pop("failed.jsonl")
    assert found == expected
    assert listed is not None
    lines = [json.loads(line) for line in listed.splitlines()]
    reasons = {Path(line["photo"]).name: line["error"] for line in lines}
    assert len(lines) == len(reasons)
    assert reasons.keys() == failed.keys()
    assert all(said in reasons[name] for name, said in failed.items())
