"""Write out the sources of programs that use a bundle without Python, for the user to build."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

from converters.errors import ConsumerError

CONSUMERS = Path(str(files("consumers")))
# Left in a checkout by builds and by Python; not part of the sources.
IGNORED = ("build*", "__pycache__")


def write_consumer(language: str, folder: Path) -> None:
    """Write the sources for one language into `folder`.

    Args:
        language: A folder in `consumers`.
        folder: A folder that does not exist or is empty.

    Raises:
        ConsumerError: `folder` is something else, or writing fails; then no file is left behind.
    """
    try:
        is_new = not folder.exists()
        if folder.is_symlink() or not (is_new or (folder.is_dir() and not any(folder.iterdir()))):
            raise ConsumerError(folder, "something is already there", "Name a new folder")
        try:
            ignore = shutil.ignore_patterns(*IGNORED)
            shutil.copytree(CONSUMERS / language, folder, ignore=ignore, dirs_exist_ok=True)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            if not is_new:
                folder.mkdir(exist_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConsumerError(folder, f"cannot be written ({reason})", "Name another folder") from error
