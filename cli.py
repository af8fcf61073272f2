"""The ganport command: parse, call one function, print.

Heavy packages are imported inside the commands, so that `ganport --help` answers at once.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from converters.errors import ParityError
from converters.terminal.options import (
    PATH,
    TARGET_NAMES,
    Group,
    Size,
    json_option,
    read_size,
    read_targets,
)
from converters.terminal.output import print_json, print_line
from converters.terminal.photo_commands import apply, inpaint
from converters.terminal.profile_options import profile_options, read_profile
from converters.terminal.progress import show_progress
from converters.terminal.supervise import SupervisedCommand, limit_options, supervise
from converters.terminal.versions import version_option

if TYPE_CHECKING:
    from converters.convert import Conversion


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def main() -> None:
    """Port image generators out of PyTorch, or any ONNX file, and prove that nothing changed."""


@main.command(cls=SupervisedCommand)
@click.argument("sources", nargs=-1, type=PATH)
@click.option(
    "--to",
    "targets",
    type=read_targets,
    multiple=True,
    required=True,
    metavar="|".join(TARGET_NAMES),
    help="Repeatable, or comma separated. trt is a TensorRT engine; wolfram is a NetGraph for Mathematica, and brings "
    "onnx and mxnet.",
)
@click.option("-o", "--out", type=PATH, default=Path("artifacts"), show_default=True, help="Where bundles go.")
@click.option("--name", help="The bundle's name, instead of its architecture's or its ONNX file's; for one source.")
@click.option("--pipeline", is_flag=True, help="One bundle of all checkpoints, from photo to photo.")
@click.option("--raw", is_flag=True, help="The bare generator, without masking and compositing.")
@click.option("--size", type=read_size, metavar="HxW", help="Static shapes, N = 1; some C++ runtimes need them.")
@click.option(
    "--tune",
    type=click.Choice(["cpu"]),
    help="Rewrite the graph so that a CPU runs the ONNX and MXNet files faster; trt and wolfram are left as they are.",
)
@click.option(
    "--small",
    is_flag=True,
    help="With --tune cpu: an ONNX file as small as an untuned one, for downloads; loading it takes more memory.",
)
@profile_options
@click.option("--checkpoint", type=PATH, help="The weights of the module that FILE.py:FUNCTION makes.")
@click.option(
    "--inputs",
    type=PATH,
    multiple=True,
    help="An .npz file with an array per input that an ONNX file is judged on. For FILE.py:FUNCTION, what the module "
    "takes, in order; given twice, sizes that differ are free.",
)
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there.")
@limit_options
@json_option
def convert(
    sources: tuple[Path, ...],
    targets: tuple[tuple[str, ...], ...],
    out: Path,
    name: str | None,
    pipeline: bool,
    raw: bool,
    size: Size | None,
    tune: str | None,
    small: bool,
    trt_min: Size | None,
    trt_opt: Size | None,
    trt_max: Size | None,
    checkpoint: Path | None,
    inputs: tuple[Path, ...],
    overwrite: bool,
    as_json: bool,
) -> None:
    """Convert SOURCES, and prove every file: checkpoints, ONNX files, FILE.py:FUNCTION; or the shipped pair.

    Of FILE.py:FUNCTION that file's code is run, and FUNCTION returns a torch module. Nothing else is ever run.
    """
    from converters.convert import Settings
    from converters.convert import convert as convert_all
    from converters.terminal.sources import read_given, require_fitting
    from converters.terminal.tables import print_conversions

    if pipeline and (raw or size is not None):
        raise click.UsageError("A pipeline is neither --raw nor of one --size.")
    if small and (tune is None or not any("onnx" in group for group in targets)):
        raise click.UsageError("--small is for the ONNX file of --tune cpu.")
    require_fitting(sources, name, checkpoint, inputs, pipeline)
    chosen = tuple(dict.fromkeys(target for group in targets for target in group))
    profile = read_profile(chosen, size, trt_min, trt_opt, trt_max)
    with show_progress() as report_progress:
        read, npz = read_given(sources, name, checkpoint, inputs)
        settings = Settings(chosen, out, name, raw, size, overwrite, pipeline, tune is not None, small, profile, npz)
        conversions = list(convert_all(read, settings, report_progress))
    if as_json:
        print_json({"bundles": [_describe(conversion) for conversion in conversions]})
    else:
        print_conversions(conversions)
    refusals = [refusal for conversion in conversions for refusal in conversion.refusals]
    for refusal in refusals:
        print_line(f"ganport: {refusal}", err=True)
    if refusals:
        raise click.exceptions.Exit(1)


def _describe(conversion: Conversion) -> dict[str, Any]:
    import msgspec

    manifest = msgspec.to_builtins(conversion.bundle.manifest)
    keys = ("name", "architecture", "hyperparameters", "artifacts", "not_verified")
    return {"folder": str(conversion.bundle.folder), **{key: manifest[key] for key in keys}}


@main.command(cls=SupervisedCommand)
@click.argument("bundle", type=PATH)
@limit_options
@json_option
def verify(bundle: Path, as_json: bool) -> None:
    """Check BUNDLE's hashes, then replay its golden case on every runtime present."""
    from converters.verify import verify as verify_bundle

    with show_progress() as report_progress:
        report_progress(f"verifying {bundle}")
        replays = verify_bundle(bundle)
    if as_json:
        rows = [dataclasses.asdict(replay) for replay in replays]
        print_json({"bundle": str(bundle), "hashes": "verified", "replays": rows})
        return
    run = any(replay.max_abs is not None for replay in replays)
    print_line("hashes verified" if run else "hashes verified, nothing was run here")
    several = len({replay.output for replay in replays} - {None}) > 1
    for replay in replays:
        said = replay.skipped or f"golden case reproduced, max abs error {replay.max_abs:.1e}"
        named = f"{replay.target}, {replay.output}" if several and replay.output is not None else replay.target
        print_line(f"{named}: {said}")


@main.command(cls=SupervisedCommand)
@click.argument("source", type=PATH)
@click.option(
    "--checkpoint",
    "checkpoints",
    type=PATH,
    multiple=True,
    help="The checkpoint or ONNX file that BUNDLE was made from; twice for a pipeline.",
)
@click.option(
    "--images",
    type=PATH,
    help="Folder of photos, instead of the long set; with --masks. They are cut, at the bottom and the right, to the "
    "net's multiple.",
)
@click.option(
    "--masks",
    type=PATH,
    help="Folder of masks, each of its photo's name and size, whatever the suffix, read as `inpaint` reads them; with "
    "--images.",
)
@click.option("--inputs", type=PATH, help="An .npz file with an array per input that an ONNX file is judged on.")
@limit_options
@json_option
def parity(
    source: Path,
    checkpoints: tuple[Path, ...],
    images: Path | None,
    masks: Path | None,
    inputs: Path | None,
    as_json: bool,
) -> None:
    """Prove SOURCE on many inputs: a bundle with --checkpoint FILE, or a checkpoint or ONNX file, converted first."""
    from converters.parity.inputs import long_inputs, user_inputs

    if (images is None) != (masks is None):
        raise click.UsageError("--images and --masks go together.")
    if source.is_dir() and not checkpoints:
        raise click.UsageError("A bundle is proven against its checkpoint: add --checkpoint FILE.")
    if not source.is_dir() and checkpoints:
        raise click.UsageError(f"'{source}' is no bundle folder: leave out --checkpoint, or name a bundle.")
    if [path.suffix for path in (checkpoints or (source,))] == [".onnx"]:
        if images is not None:
            raise click.UsageError("--images and --masks go with a checkpoint; for an ONNX file there is --inputs.")
    elif inputs is not None:
        raise click.UsageError("--inputs goes with one ONNX file.")
    with show_progress() as report_progress, tempfile.TemporaryDirectory() as scratch:
        make_inputs = long_inputs if images is None or masks is None else user_inputs(images, masks)
        if checkpoints:
            folder = source
        else:
            folder, checkpoints = _convert_for_parity(source, Path(scratch), inputs, report_progress), (source,)
        from converters.prove import prove

        reports, judged, unverified = prove(folder, checkpoints, make_inputs, report_progress, inputs)
    if as_json:
        reports_json = [report.to_json() for report in reports]
        print_json({"reports": reports_json, "not_verified": unverified})
    else:
        from converters.parity.report import format_parity

        for line in format_parity(reports, judged, unverified).split("\n"):
            print_line(line)
    missed = [report.rung for report in reports if not report.passed]
    if missed:
        raise ParityError(folder, f"rung {', '.join(missed)} misses its gate", "Do not ship it: convert again")


def _convert_for_parity(
    checkpoint: Path, scratch: Path, inputs: Path | None, report_progress: Callable[[str], None]
) -> Path:
    from converters.convert import Settings
    from converters.convert import convert as convert_all
    from converters.targets.registry import list_missing

    here = tuple(name for name, (to_build, _) in list_missing().items() if to_build is None)
    (conversion,) = convert_all([checkpoint], Settings(here, scratch, inputs=inputs), report_progress)
    return conversion.bundle.folder


@main.command(cls=SupervisedCommand)
@click.argument("sources", nargs=-1, required=True, type=PATH)
@click.option("--size", type=read_size, metavar="HxW", default="256x256", show_default=True)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Items per run.")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Of each runtime.")
@click.option("--runs", type=click.IntRange(1), default=30, show_default=True, help="Measured runs of each file.")
@json_option
def bench(sources: tuple[Path, ...], size: Size, batch: int, threads: int, runs: int, as_json: bool) -> None:
    """Measure SOURCES in turn on equal inputs: bundles, ONNX files, and checkpoints, which run in torch."""
    from converters.bench.measure import measure_group, read_environment
    from converters.bench.sources import read_sources
    from converters.terminal.tables import print_measurements

    with show_progress() as report_progress:
        results = [measure_group(group, threads, runs, report_progress) for group in read_sources(sources, size, batch)]
    measurements = [row for measured, _ in results for row in measured]
    skipped = [row for _, left_out in results for row in left_out]
    if as_json:
        run = {"size": list(size), "batch": batch, "runs": runs, "environment": read_environment(threads)}
        not_run = [{"file": row.contestant.file, "target": row.contestant.target, "why": row.why} for row in skipped]
        rows = [row.to_json() for row in measurements]
        print_json({**run, "measurements": rows, "not_run": not_run})
        return
    print_measurements(measurements)
    for row in skipped:
        print_line(f"{row.contestant.file}, {row.contestant.target}: not run ({row.why})")


@main.command(cls=SupervisedCommand)
@click.argument("path", type=PATH)
@json_option
def inspect(path: Path, as_json: bool) -> None:
    """Say what is inside PATH: a checkpoint, an ONNX file or a bundle."""
    from converters.terminal.inspect_file import format_facts, inspect_file

    facts = inspect_file(path)
    if as_json:
        print_json(facts)
        return
    for line in format_facts(facts):
        print_line(line)


@main.command()
@json_option
def formats(as_json: bool) -> None:
    """List the targets, what each needs and what is missing here, what was proven of each architecture, and plugins."""
    from converters.terminal.formats import print_formats

    print_formats(as_json)


@main.command(cls=SupervisedCommand)
@click.argument("kind", type=click.Choice(["cpp", "web", "server"]))
@click.argument("folder", type=PATH)
@click.option(
    "--bundle", type=PATH, help="For web and server: what they run, instead of the pipeline of the pair that ships."
)
def consumers(kind: str, folder: Path, bundle: Path | None) -> None:
    """Write a program that uses a bundle without ganport into FOLDER, which is new or empty.

    cpp: sources to build. web: a page, with the bundle's net, that runs it in the browser. server: photos in, pictures
    out, over HTTP.
    """
    from converters.terminal.write_program import write_program

    write_program(kind, folder, bundle)
    print_line(folder)


main.add_command(inpaint)
main.add_command(apply)


def run() -> None:
    """The installed program: `main`, with the work done in a child process."""
    main(obj=supervise)


if __name__ == "__main__":
    run()
