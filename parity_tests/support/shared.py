"""What takes long to make is made once in a run of the tests: the worker that needs it first makes it for all."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

T = TypeVar("T")


def make_once(folder: Path, make: Callable[[Path], T]) -> T:
    """What `make(folder)` gave, from the pickle that the first call left in `folder`; the files beside it are its own.

    Another process that asks meanwhile waits.
    """
    made = folder / "made.pickle"
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not made.is_file():
            shutil.rmtree(folder, ignore_errors=True)  # of a call that failed
            folder.mkdir()
            result = make(folder)
            unfinished = folder / "unfinished.pickle"
            unfinished.write_bytes(pickle.dumps(result))
            unfinished.rename(made)
            return result
        given: T = pickle.loads(made.read_bytes())
        return given
