"""The programs that use a bundle without Python: their sources, written out for the user to build."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

from converters.errors import ConsumerError

CONSUMERS = Path(str(files("consumers")))
# What building in a checkout leaves there.
LITTER = ("build*", "__pycache__")


def write_consumer(language: str, folder: Path) -> None:
    """Write the sources of one language's consumer into `folder`, which is new or empty.

    Raises:
        ConsumerError: something is there already, or the disk refuses the files, of which none is left then.
    """
    try:
        is_new = not folder.exists()
        if folder.is_symlink() or not (is_new or (folder.is_dir() and not any(folder.iterdir()))):
            raise ConsumerError(folder, "something is already there", "Name a new folder")
        try:
            ignore = shutil.ignore_patterns(*LITTER)
            shutil.copytree(CONSUMERS / language, folder, ignore=ignore, dirs_exist_ok=True)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            if not is_new:
                folder.mkdir(exist_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConsumerError(folder, f"cannot be written ({reason})", "Name another folder") from error
