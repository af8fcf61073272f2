"""The list of the photos that failed, which lies among the results."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from converters.errors import PhotoError
from converters.inpaint import Outcome
from converters.photos.image_files import clear_partials, make_folder
from converters.photos.many.photo_job import TRIES

# A line of JSON for each photo that failed in the last run; there is none if none failed.
FAILED = "failed.jsonl"


class Failures:
    """The list, written line by line, so that it is there if the run is killed.

    Args:
        folder: That of the results.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FAILED

    def begin(self) -> None:
        """Make the folder, and clear it of the last run's list and of what killed processes left.

        Raises:
            PhotoError: the folder cannot be made or written to.
        """
        make_folder(self.path.parent)
        clear_partials(self.path.parent)
        with self._explained():
            self.path.unlink(missing_ok=True)

    def add(self, outcome: Outcome) -> None:
        """Add a photo.

        Raises:
            PhotoError: the list cannot be written.
        """
        job = outcome.job
        mask = None if job.mask is None else str(job.mask)
        line = {"photo": str(job.photo), "mask": mask, "tries": TRIES, "error": str(outcome.error)}
        with self._explained(), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def end(self) -> None:
        """Clear the folder of what killed processes left."""
        clear_partials(self.path.parent)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            met = f"cannot be written ({error.strerror})"
            raise PhotoError(self.path, met, "Name another folder with -o") from error
