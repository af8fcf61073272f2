"""`ganport --version`: what is installed here, told without importing any of it."""

from __future__ import annotations

import platform
from collections.abc import Iterator

import click

from converters.terminal.output import print_line

# What a row calls it, and the packages that it may come from; the first that is installed counts.
PACKAGES = {
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime",),
    "mxnet": ("mxnet",),
    "TensorRT": ("tensorrt-rtx-cu13-bindings", "tensorrt"),
    "Wolfram client": ("wolframclient",),
}


def list_versions() -> Iterator[str]:
    """A line for ganport, for Python and for each runtime."""
    yield f"ganport {_find_version('ganport')}"
    yield f"Python {platform.python_version()}"
    for name, packages in PACKAGES.items():
        yield f"{name} {_find_version(*packages)}"


def _find_version(*packages: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    for package in packages:
        try:
            found = version(package)
        except PackageNotFoundError:
            continue
        return found if len(packages) == 1 else f"{found} ({package})"
    return "not installed"


def _print_versions(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        for line in list_versions():
            print_line(line)
        ctx.exit()


version_option = click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_versions,
    help="Show the versions of ganport and of the runtimes that are here, and exit.",
)
