"""Say where in a user's own code something failed."""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch

# Frames of these are not the user's: torch, the packages that export with it, ganport, and Python's own library.
_TORCH = Path(torch.__file__).parent
_PACKAGES = (str(_TORCH), str(_TORCH.parent / "onnxscript"), str(_TORCH.parent / "onnx"))
_OURS = (str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "reference"))
_LIBRARY = sysconfig.get_path("stdlib")
# torch quotes frames in its messages, as Python does in tracebacks.
_QUOTED = re.compile(r'File "([^"]+)", line (\d+), in (\w+)')
# What torch.onnx says where it fails on a node.
_TRANSLATING = re.compile(r"Error when translating node %\S+ : .*?\[target=torch\.ops\.(\S+)\]")
MAX_SAID = 200


def describe_failure(error: BaseException) -> str:
    """What failed, and where in the user's code, for an error message; without a full stop."""
    chain = list(_list_chain(error))
    root = chain[-1]
    said = next((line for line in map(str.strip, str(root).splitlines()) if line), "")[:MAX_SAID].rstrip(".")
    place = _find_place(chain)
    operator = next((found[1] for error in chain if (found := _TRANSLATING.search(str(error)))), None)
    said = said if operator is None else f"{said}{', ' if said else ''}translating torch's operator {operator}"
    return f"{type(root).__name__}{f': {said}' if said else ''}{f', at {place}' if place else ''}"


def _list_chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, and so on; the last one is where it began."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _find_place(chain: list[BaseException]) -> str | None:
    for error in reversed(chain):
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if _is_users(frame.filename):
                return (
                    f"{frame.filename}, line {frame.lineno}, in {frame.name}{f': {frame.line}' if frame.line else ''}"
                )
    for error in reversed(chain):
        for file, line, function in reversed(_QUOTED.findall(str(error))):
            if _is_users(file):
                return f"{file}, line {line}, in {function}"
    return None


def _is_users(file: str) -> bool:
    if file.startswith(("<", *_PACKAGES, *_OURS)) or Path(file).name == "ganport.py":
        return False
    return not file.startswith(_LIBRARY) or "site-packages" in file
