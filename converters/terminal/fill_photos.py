"""Fill the photos of `ganport inpaint`, and tell what was done, after an interrupt too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from converters.bundle.folder import read_bundle
from converters.errors import PhotoError
from converters.inpaint import Job, Outcome, inpaint_all, open_pipeline, shipped_pipeline
from converters.photos.image_files import make_folder
from converters.terminal.output import print_json, print_line
from converters.terminal.progress import format_bar, show_progress


def fill_photos(given: Path, jobs: Sequence[Job], skipped: Sequence[Path], bundle: Path | None, as_json: bool) -> None:
    """Fill every photo that can be filled; print the results' paths, or JSON, and notes on stderr.

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
    outcomes: list[Outcome] = []
    try:
        with show_progress() as report_progress:
            pipeline = read_bundle(bundle) if bundle else shipped_pipeline()
            report_progress("loading the nets")
            with open_pipeline(pipeline) as runner:
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
            "holes": {str(outcome.job.out): outcome.hole for outcome in done},
            "notes": [note for outcome in done for note in outcome.notes],
        }
    )
