"""The scratch folder beside a bundle, in which a run fills the new bundle and keeps the old one while it swaps them.

It is called `.NAME.ganport-XXXXXXXX` and belongs to one run. Its lock file shows that the folder is ganport's, as no
folder without one is ever touched, and whether that run is alive, as a lock ends with its process.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from converters.errors import BundleError

LOCK, OWNER = "lock", "owner"
NEW, OLD = "new", "old"


@contextlib.contextmanager
def open_scratch(folder: Path) -> Iterator[Path]:
    """Make a scratch folder for the bundle `folder` and hold its lock; afterwards delete it.

    Raises:
        BundleError: another run began to write the bundle earlier, and is still alive.
    """
    scratch = Path(tempfile.mkdtemp(prefix=_prefix(folder), dir=folder.parent))
    try:
        (scratch / OWNER).write_text(str(os.getpid()))
        with FileLock(scratch / LOCK, timeout=0):
            earlier = [other for other in _list_held(folder) if other != scratch and _age(other) < _age(scratch)]
            if earlier:
                raise _refuse(folder, earlier[0])
            (scratch / NEW).mkdir()
            yield scratch
    finally:
        with contextlib.suppress(OSError):
            _delete(scratch)


def clear_stale_in(parent: Path) -> None:
    """`clear_stale` for every bundle that was being written into `parent`."""
    for scratch in parent.glob(".*.ganport-????????"):
        clear_stale(parent / scratch.name.removeprefix(".").rpartition(".ganport-")[0])


def clear_stale(folder: Path) -> None:
    """Delete the scratch folders of runs that were killed; a bundle that one of them had moved away is put back."""
    for scratch in _list_scratch(folder):
        with contextlib.suppress(Timeout, OSError):
            if not (scratch / LOCK).is_file():
                # Its run was killed before its first step or after its last one.
                if {path.name for path in scratch.iterdir()} <= {OWNER}:
                    _delete(scratch)
                continue
            with FileLock(scratch / LOCK, timeout=0):
                if (scratch / OLD).exists() and not folder.exists():
                    (scratch / OLD).rename(folder)
                _delete(scratch)


def _delete(scratch: Path) -> None:
    """Delete a scratch folder; the lock goes late, so that what a kill leaves is still known to be ours."""
    last = (LOCK, OWNER)
    for path in sorted(scratch.iterdir(), key=lambda path: last.index(path.name) + 1 if path.name in last else 0):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    scratch.rmdir()


def require_unheld(folder: Path) -> None:
    """
    Raises:
        BundleError: another run is writing the bundle.
    """
    for scratch in _list_held(folder):
        raise _refuse(folder, scratch)


def _prefix(folder: Path) -> str:
    return f".{folder.name}.ganport-"


def _list_scratch(folder: Path) -> list[Path]:
    found = folder.parent.glob(f"{glob.escape(_prefix(folder))}*")
    return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def _list_held(folder: Path) -> list[Path]:
    """Scratch folders whose run is alive."""
    held = []
    for scratch in _list_scratch(folder):
        if (scratch / LOCK).is_file():
            try:
                with FileLock(scratch / LOCK, timeout=0):
                    pass
            except Timeout:
                held.append(scratch)
            except FileNotFoundError:
                continue
    return held


def _age(scratch: Path) -> tuple[int, str]:
    """Orders runs by when they began."""
    try:
        return (scratch / OWNER).stat().st_mtime_ns, scratch.name
    except FileNotFoundError:
        return 0, scratch.name


def _refuse(folder: Path, scratch: Path) -> BundleError:
    try:
        owner = (scratch / OWNER).read_text()
    except OSError:
        owner = "unknown"
    return BundleError(folder, f"another run is writing it (process {owner})", "Wait, or name another folder with -o")
