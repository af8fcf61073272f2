"""What `ganport consumers` does."""

from __future__ import annotations

from pathlib import Path

import click

from consumers.write_consumer import Net, find_runtime, write_consumer
from consumers.write_server import write_server
from converters.terminal.page_files import read_page_files
from converters.terminal.server_files import read_server_files


def write_program(kind: str, folder: Path, bundle: Path | None) -> None:
    """Write a program into a folder.

    Args:
        kind: "cpp", "web" or "server".
        folder: New or empty.
        bundle: What the program runs; None for the pipeline of the pair that ships. For "web" and "server".

    Raises:
        ConsumerError: the folder cannot be written, or npm's files are not at hand.
        BundleError: the bundle cannot be used.
    """
    if kind == "web":
        find_runtime()
        write_consumer(kind, folder, Net(*read_page_files(bundle)))
    elif kind == "server":
        bundle_folder, repository = read_server_files(bundle)
        write_server(folder, bundle_folder, repository.texts, repository.models)
    elif bundle is not None:
        raise click.UsageError("--bundle goes with web and server.")
    else:
        write_consumer(kind, folder)
