"""Run the photos of `ganport inpaint` and `ganport apply`, and tell what was done, after an interrupt too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from converters.bundle.folder import read_bundle
from converters.errors import PhotoError
from converters.inpaint import (
    FILLING,
    OUTPUT_SUFFIX,
    PICTURE_SUFFIX,
    PICTURING,
    Job,
    Outcome,
    inpaint_all,
    match_folders,
    open_pipeline,
    prepare,
    shipped_pipeline,
)
from converters.photos.image_files import make_folder
from converters.photos.marks import BY_THE_RULES, Reading
from converters.terminal.output import print_json, print_line
from converters.terminal.progress import format_bar, show_progress


def fill_photo(job: Job, bundle: Path | None, as_json: bool) -> None:
    """Run one photo; its files are read, and found sound, before the nets are loaded. See _fill_photos."""
    prepare(job)
    _fill_photos(job.photo, [job], [], bundle, as_json)


def fill_folder(
    photos: Path,
    masks: Path | None,
    out: Path | None,
    bundle: Path | None,
    skip_existing: bool,
    as_json: bool,
    reading: Reading = BY_THE_RULES,
    context: int | None = None,
) -> None:
    """Run every photo of a folder; see _fill_photos.

    Args:
        photos: The folder.
        masks: The folder of masks; None where photos become pictures.
        out: The folder of results; None is one beside `photos`.
        bundle: See _fill_photos.
        skip_existing: Whether to leave out photos whose result is there.
        as_json: See _fill_photos.
        reading: How masks are read.
        context: See Job.

    Raises:
        PhotoError: a photo has no mask, or failed; the others are done.
    """
    suffix = PICTURE_SUFFIX if masks is None else OUTPUT_SUFFIX
    jobs, no_images = match_folders(photos, masks, out or photos.with_name(photos.name + suffix), reading, context)
    for path in no_images:
        print_line(f"{path}: no image by its suffix: left out", err=True)
    skipped = [job.out for job in jobs if skip_existing and job.out.exists()]
    _fill_photos(photos, [job for job in jobs if job.out not in set(skipped)], skipped, bundle, as_json)


def _fill_photos(given: Path, jobs: Sequence[Job], skipped: Sequence[Path], bundle: Path | None, as_json: bool) -> None:
    """Run every photo that can be run; print the results' paths, or JSON, and notes on stderr.

    Args:
        given: The photo, or the folder of photos.
        jobs: The photos.
        skipped: Results that were there already.
        bundle: A pipeline's; None for that of the pair that ships.
        as_json: Whether to print JSON.

    Raises:
        PhotoError: a photo failed; the others are done.
        GanportError: the bundle cannot be used.
    """
    kinds = FILLING if all(job.mask is not None for job in jobs) else PICTURING
    outcomes: list[Outcome] = []
    try:
        with show_progress() as report_progress:
            pipeline = read_bundle(bundle) if bundle else shipped_pipeline()
            report_progress("loading the nets")
            with open_pipeline(pipeline, kinds) as runner:
                if given.is_dir() and jobs:
                    make_folder(jobs[0].out.parent)

                def report_job(done: int, job: Job) -> None:
                    report_progress(f"{format_bar(done, len(jobs))} {job.photo.name}")

                for outcome in inpaint_all(jobs, runner, report_job):
                    outcomes.append(outcome)
                    for note in outcome.notes:
                        print_line(note, err=True)
    except KeyboardInterrupt:
        _print_outcomes(outcomes, skipped, as_json)
        raise
    _print_outcomes(outcomes, skipped, as_json)
    failures = [outcome.error for outcome in outcomes if outcome.error is not None]
    if failures and len(jobs) == 1:
        raise failures[0]
    for error in failures:
        print_line(f"ganport: {error}", err=True)
    if failures:
        raise PhotoError(given, f"{len(failures)} of {len(jobs)} photos failed", "See above; the others are done")


def _print_outcomes(outcomes: Sequence[Outcome], skipped: Sequence[Path], as_json: bool) -> None:
    done = [outcome for outcome in outcomes if outcome.error is None]
    if not as_json:
        for outcome in done:
            print_line(outcome.job.out)
        return
    print_json(
        {
            "written": [str(outcome.job.out) for outcome in done],
            "failed": {str(each.job.photo): str(each.error) for each in outcomes if each.error is not None},
            "skipped": [str(path) for path in skipped],
            "holes": {str(outcome.job.out): outcome.hole for outcome in done if outcome.hole is not None},
            "notes": [note for outcome in done for note in outcome.notes],
        }
    )
