"""Run the photos of `ganport inpaint` and `ganport apply`, and tell what was done, after an interrupt too."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from converters.bundle.folder import Bundle, read_bundle
from converters.errors import GanportError, PhotoError, ProfileError, UnrunnableError, explain_unforeseen
from converters.inpaint import (
    FILLING,
    OUTPUT_SUFFIX,
    PICTURE_SUFFIX,
    PICTURING,
    Job,
    Outcome,
    inpaint,
    open_pipeline,
    prepare,
    shipped_pipeline,
)
from converters.photos.many.failures import Failures
from converters.photos.many.listing import list_photos
from converters.photos.many.on_ray import RayPlan, run_on_ray
from converters.photos.many.photo_job import Plan
from converters.photos.many.urls import list_urls
from converters.photos.many.workers import choose_workers, run_on_workers
from converters.photos.marks import BY_THE_RULES, Reading
from converters.photos.matching import Matched
from converters.terminal.output import print_json, print_line
from converters.terminal.progress import format_bar, show_progress


@dataclass(frozen=True)
class Many:
    """How many photos are run.

    Attributes:
        photos: A folder, a list or a pattern; or, with an address, the URL of a folder.
        masks: The folder of masks, if there is one; a URL if `photos` is.
        out: The folder of results; None is one beside `photos`, which then is no URL.
        skip_existing: Whether to leave out photos whose result is there, whatever it was made of.
        workers: How many processes; None leaves that to the machine.
        address: Of the Ray that runs them; None for processes without Ray.
        reading: How masks are read.
        context: See Job.
        filling: Whether holes are filled; else photos become pictures.
    """

    photos: Path | str
    masks: Path | str | None
    out: Path | None
    skip_existing: bool
    workers: int | None
    address: str | None = None
    reading: Reading = BY_THE_RULES
    context: int | None = None
    filling: bool = True

    @property
    def folder(self) -> Path:
        """Where results go."""
        if self.out is not None:
            return self.out
        photos = Path(self.photos)
        name = photos.name if photos.is_dir() else photos.stem
        return photos.with_name(name + (OUTPUT_SUFFIX if self.filling else PICTURE_SUFFIX))

    @property
    def url(self) -> str | None:
        """Where the photos are, if that is a URL."""
        return self.photos if isinstance(self.photos, str) else None

    def match(self) -> Matched:
        """The photos and their masks; see list_photos and list_urls."""
        masks = self.masks
        if isinstance(self.photos, Path):
            return list_photos(self.photos, Path(masks) if masks is not None else None, self.filling)
        return list_urls(self.photos, None if masks is None else str(masks))

    def make_jobs(self, pairs: Iterable[tuple[str, str | None]]) -> Iterator[Job]:
        """A job for each (photo, mask)."""
        for photo, mask in pairs:
            path = Path(photo)
            out = self.folder / f"{path.stem}.png"
            yield Job(path, Path(mask) if mask else None, out, reading=self.reading, context=self.context)


@dataclass
class Account:
    """What became of the photos so far: text and numbers, as there may be a million."""

    total: int
    written: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    holes: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    last_error: GanportError | None = None

    @property
    def done(self) -> int:
        """How many photos are behind us."""
        return len(self.written) + len(self.skipped) + len(self.failed)

    def add(self, outcome: Outcome, keep_all: bool) -> None:
        """Count a photo; notes and shares are kept for JSON alone."""
        job = outcome.job
        if outcome.error is not None:
            self.failed[str(job.photo)] = str(outcome.error)
            self.last_error = outcome.error
        elif outcome.there:
            self.skipped.append(str(job.out))
        else:
            self.written.append(str(job.out))
            if keep_all:
                self.notes += outcome.notes
                self.holes |= {} if outcome.hole is None else {str(job.out): outcome.hole}

    def show(self, as_json: bool) -> None:
        """Print the results' paths, or JSON."""
        written = sorted(self.written)
        if as_json:
            facts = {"written": written, "failed": self.failed, "skipped": sorted(self.skipped)}
            print_json({**facts, "holes": self.holes, "notes": self.notes})
            return
        for path in written:
            print_line(path)


def fill_photo(job: Job, bundle: Path | None, as_json: bool) -> None:
    """Run one photo; its files are read, and found sound, before the nets are loaded.

    Args:
        job: The photo.
        bundle: A pipeline's; None for that of the pair that ships.
        as_json: Whether to print JSON.

    Raises:
        PhotoError: the photo failed.
        GanportError: the bundle cannot be used.
    """
    prepare(job)
    with show_progress() as report_progress:
        pipeline = _read_pipeline(bundle)
        report_progress("loading the nets")
        with open_pipeline(pipeline, _kinds(job.mask is not None)) as runner:
            report_progress(f"{format_bar(0, 1)} {job.photo.name}")
            try:
                with explain_unforeseen(PhotoError, job.photo):
                    outcome = inpaint(job, runner)
            except (PhotoError, UnrunnableError, ProfileError) as error:
                outcome = Outcome(job, error=error)
    for note in outcome.notes:
        print_line(note, err=True)
    account = Account(1)
    account.add(outcome, as_json)
    account.show(as_json)
    if outcome.error is not None:
        raise outcome.error


def fill_many(given: Many, bundle: Path | None, as_json: bool) -> None:
    """Run every photo that can be run; print the results' paths, or JSON, and notes on stderr.

    Args:
        given: The photos.
        bundle: See fill_photo.
        as_json: See fill_photo.

    Raises:
        PhotoError: a photo has no mask, or failed; the others are done.
        GanportError: the bundle cannot be used.
    """
    matched = given.match()
    for path in matched.skipped:
        print_line(f"{path}: no image by its suffix: left out", err=True)
    account, failures = Account(len(matched.pairs)), Failures(given.folder)
    try:
        with show_progress() as report_progress:
            pipeline = _read_pipeline(bundle)
            report_progress("loading the nets")

            def begin() -> Iterator[Job]:
                failures.begin()
                for job in given.make_jobs(matched.pairs):
                    if given.skip_existing and job.out.exists():
                        account.skipped.append(str(job.out))
                    else:
                        yield job

            with contextlib.closing(_run(given, begin(), account.total, pipeline)) as outcomes:
                for outcome in outcomes:
                    account.add(outcome, as_json)
                    report_progress(f"{format_bar(account.done, account.total)} {outcome.job.photo.name}")
                    if outcome.error is not None:
                        failures.add(outcome)
                    for note in outcome.notes:
                        print_line(note, err=True)
    except KeyboardInterrupt:
        account.show(as_json)
        raise
    finally:
        failures.end()
    account.show(as_json)
    if account.total == 1 and account.last_error is not None:
        raise account.last_error
    _tell(account)
    if account.failed:
        met = f"{len(account.failed)} of {account.total} photos failed"
        raise PhotoError(given.photos, met, f"See {failures.path}; the others are done")


def _run(given: Many, jobs: Iterator[Job], total: int, pipeline: Bundle) -> Generator[Outcome, None, None]:
    plan = Plan(pipeline.folder, _kinds(given.filling))
    if given.address is not None:
        yield from run_on_ray(jobs, plan, RayPlan(given.address, given.workers, given.url))
        return
    workers = given.workers or choose_workers(total, pipeline)
    yield from run_on_workers(jobs, plan, workers)


def _tell(account: Account) -> None:
    """Say what failed, and what was there."""
    for error in account.failed.values():
        print_line(f"ganport: {error}", err=True)
    if account.skipped:
        print_line(f"{len(account.skipped)} of {account.total} results were there already", err=True)


def _read_pipeline(bundle: Path | None) -> Bundle:
    return read_bundle(bundle) if bundle else shipped_pipeline()


def _kinds(filling: bool) -> Sequence[tuple[str, ...]]:
    return FILLING if filling else PICTURING
