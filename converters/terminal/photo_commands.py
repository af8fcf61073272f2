"""The commands `ganport inpaint` and `ganport apply`; imports nothing heavy, so that `--help` is fast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from converters.terminal.options import PATH, PLACE, json_option
from converters.terminal.supervise import SupervisedCommand

PROCESSES, RAY = "processes", "ray"


def many_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that go with many photos: --skip-existing, --workers, --engine and --address."""
    skip = click.option(
        "--skip-existing",
        is_flag=True,
        help="For many photos: leave out those whose result is there, whatever it was made of. Without this, a result "
        "is left if it is whole and was made of the same files, bundle and options, and made again otherwise.",
    )
    workers = click.option(
        "--workers",
        type=click.IntRange(1),
        metavar="N",
        help="For many photos: how many processes; without this, by cores and memory.",
    )
    engine = click.option(
        "--engine",
        type=click.Choice([PROCESSES, RAY]),
        default=PROCESSES,
        show_default=True,
        help="For many photos: processes of this machine, or actors of Ray (extra ray).",
    )
    address = click.option("--address", help="With --engine ray: the cluster's; without this, this machine alone.")
    return skip(workers(engine(address(command))))


@click.command(cls=SupervisedCommand)
@click.argument("photo", type=PLACE)
@click.argument("mask", type=PLACE, required=False)
@click.option(
    "-o", "--out", type=PATH, help="PNG or WebP; a folder for folders. Default: PHOTO-inpainted.png beside it."
)
@click.option("--edges-out", type=PATH, help="Write the edges that the second net was given.")
@click.option("--draw", type=PATH, help="An image of PHOTO's size, lines on black: there edges are drawn.")
@click.option("--erase", type=PATH, help="An image of PHOTO's size, lines on black: there edges are erased.")
@click.option("--resize-mask", is_flag=True, help="Scale a mask of another size to PHOTO's.")
@click.option(
    "--threshold",
    type=click.IntRange(0, 254),
    help="What is brighter in MASK, of 255, is the hole, whatever MASK is like.",
)
@click.option("--invert", is_flag=True, help="The hole is what MASK does not mark.")
@click.option(
    "--context",
    type=click.IntRange(0),
    metavar="PIXELS",
    help="Give the nets the hole with so much around it; without this, photos of up to 1.5 million pixels whole, of "
    "others the hole with half its larger side around it.",
)
@many_options
@click.option("--bundle", type=PATH, help="A pipeline's bundle, instead of that of the pair that ships.")
@json_option
def inpaint(
    photo: Path | str,
    mask: Path | str | None,
    out: Path | None,
    edges_out: Path | None,
    draw: Path | None,
    erase: Path | None,
    resize_mask: bool,
    threshold: int | None,
    invert: bool,
    context: int | None,
    skip_existing: bool,
    workers: int | None,
    engine: str,
    address: str | None,
    bundle: Path | None,
    as_json: bool,
) -> None:
    """Fill the hole of PHOTO, which is where MASK is white; or of many photos.

    PHOTO may be a folder or a pattern ('photos/**/*.jpg'), and MASK the folder of masks, matched by name; or a list
    (.csv) with a line PHOTO,MASK for each photo. With --engine ray both may be URLs of folders (s3://bucket/photos).
    """
    from converters.inpaint import Job, default_output
    from converters.photos.many.listing import is_list, is_many
    from converters.photos.marks import Reading
    from converters.terminal.fill_photos import Many, fill_many, fill_photo

    reading = Reading(resize_mask, threshold, invert)
    if mask is None and (isinstance(photo, str) or not is_list(photo)):
        raise click.UsageError("Missing argument 'MASK': only a list (.csv) may name the masks.")
    address = _read_address(engine, address)
    if isinstance(photo, str) or isinstance(mask, str):
        _require_url(photo, mask or photo, out, address)
    if isinstance(photo, str) or is_many(photo):
        if edges_out or draw or erase:
            raise click.UsageError("--edges-out, --draw and --erase go with one photo, not with a folder.")
        fill_many(Many(photo, mask, out, skip_existing, workers, address, reading, context), bundle, as_json)
    else:
        _require_one(skip_existing, workers, address)
        assert not isinstance(mask, str)  # _require_url has refused it
        job = Job(photo, mask, out or default_output(photo), edges_out, draw, erase, reading, context)
        fill_photo(job, bundle, as_json)


@click.command(cls=SupervisedCommand)
@click.argument("photo", type=PLACE)
@click.option("--bundle", type=PATH, required=True, help="The pipeline's bundle of a net that takes a photo alone.")
@click.option(
    "-o", "--out", type=PATH, help="PNG or WebP; a folder for a folder. Default: PHOTO-applied.png beside it."
)
@many_options
@json_option
def apply(
    photo: Path | str,
    bundle: Path,
    out: Path | None,
    skip_existing: bool,
    workers: int | None,
    engine: str,
    address: str | None,
    as_json: bool,
) -> None:
    """Make a picture of PHOTO, or of many photos, with a net like CycleGAN's or a style's.

    PHOTO may be a folder, a pattern ('photos/**/*.jpg') or a list (.csv) with a photo in each line.
    """
    from converters.inpaint import PICTURE_SUFFIX, Job, default_output
    from converters.photos.many.listing import is_many
    from converters.terminal.fill_photos import Many, fill_many, fill_photo

    address = _read_address(engine, address)
    if isinstance(photo, str):
        _require_url(photo, photo, out, address)
    if isinstance(photo, str) or is_many(photo):
        fill_many(Many(photo, None, out, skip_existing, workers, address, filling=False), bundle, as_json)
    else:
        _require_one(skip_existing, workers, address)
        fill_photo(Job(photo, None, out or default_output(photo, PICTURE_SUFFIX)), bundle, as_json)


def _read_address(engine: str, address: str | None) -> str | None:
    """Ray's address; None for processes.

    Raises:
        click.UsageError: an address without Ray.
    """
    from converters.photos.many.on_ray import LOCAL

    if engine == RAY:
        return address or LOCAL
    if address is not None:
        raise click.UsageError("--address goes with --engine ray.")
    return None


def _require_url(photo: Path | str, mask: Path | str, out: Path | None, address: str | None) -> None:
    """
    Raises:
        click.UsageError: URLs are given where there may be none.
    """
    if not (isinstance(photo, str) and isinstance(mask, str)):
        raise click.UsageError("A URL of masks goes with a URL of photos.")
    if address is None:
        raise click.UsageError("A URL goes with --engine ray.")
    if out is None:
        raise click.UsageError("With a URL, name the folder of results with -o.")


def _require_one(skip_existing: bool, workers: int | None, address: str | None) -> None:
    """
    Raises:
        click.UsageError: an option was given that goes with many photos.
    """
    given = {"--skip-existing": skip_existing, "--workers": workers is not None, "--engine ray": address is not None}
    for option, is_given in given.items():
        if is_given:
            raise click.UsageError(f"{option} goes with folders.")
