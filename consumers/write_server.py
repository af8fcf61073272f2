"""Write out the server: its program, what it needs of ganport, the bundle, and a model repository for Triton."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from consumers.write_consumer import CONSUMERS, copy_files, new_folder

# What lies beside the program's package.
BESIDE = ("serve.py", "README.md", "requirements.txt", "Dockerfile", "triton/README.md")
# The modules of ganport that the program imports, as they are.
CONVERTERS = (
    *("__init__.py", "errors.py", "files.py", "runners.py", "tensors.py"),
    *("bundle/__init__.py", "bundle/checksums.py"),
    *("photos/__init__.py", "photos/crop.py", "photos/image_files.py", "photos/marks.py", "photos/one_photo.py"),
)


def write_server(folder: Path, bundle: Path, texts: Mapping[str, str], models: Mapping[str, Path]) -> None:
    """Write the server of one bundle.

    Args:
        folder: A folder that does not exist or is empty.
        bundle: The bundle's folder.
        texts: The text of each further file, by its path in `folder`.
        models: What else is copied: a file, by its path in `folder`.

    Raises:
        ConsumerError: `folder` is something else, or writing fails; then no file is left behind.
    """
    with new_folder(folder):
        folder.mkdir(parents=True, exist_ok=True)
        program = CONSUMERS / "server"
        copy_files(program, BESIDE, folder)
        package = [path.name for path in program.glob("*.py") if path.name not in BESIDE]
        copy_files(program, package, folder / "consumers" / "server")
        copy_files(CONSUMERS, ("__init__.py",), folder / "consumers")
        copy_files(Path(str(files("converters"))), CONVERTERS, folder / "converters")
        shutil.copytree(bundle, folder / "bundle")
        for name, source in models.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
