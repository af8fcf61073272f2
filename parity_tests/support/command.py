"""Run the real command in this process, and look at what it left on disk."""

from __future__ import annotations

import copy
import hashlib
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from cli import main

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

    from reference.model import ReferenceModel

_exports: dict[str, ModelProto] = {}


def run_ganport(*args: str | Path) -> Result:
    """Run `ganport ARGS`; a traceback of ours would come out as that exception."""
    result = CliRunner().invoke(main, [str(arg) for arg in args], prog_name="ganport")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def list_tree(folder: Path) -> dict[str, bytes | None]:
    """Every entry below `folder`, hidden ones too: a file's bytes, None for a folder."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")
    }


def require_refusal(result: Result, said: str, exit_code: int = 1) -> None:
    """The command ended with this exit code and one error line, the last of stderr, in which `said` stands."""
    assert result.exit_code == exit_code, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    start = "ganport: " if exit_code == 1 else "Error: "
    assert [line for line in lines if line.startswith(start)] == lines[-1:]
    assert said in lines[-1]
    assert "Traceback" not in result.stderr
    assert "weights_only" not in result.stderr  # torch's advice to read the file unsafely


def require_refused_conversion(folder: Path, *args: str | Path, said: str, exit_code: int = 1) -> None:
    """`ganport convert ARGS` is refused with a line that holds `said`, and everything in `folder` stays as it was."""
    before = list_tree(folder)
    require_refusal(run_ganport("convert", *args), said, exit_code)
    assert list_tree(folder) == before


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Fail instead of waiting for ever."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def remembered_exports() -> Iterator[None]:
    """Export each net to ONNX once only, which is nine tenths of the time of a small conversion."""
    from converters.sources import torch_source

    export = torch_source.export_onnx

    def remember(model: ReferenceModel, folded: nn.Module, *rest: object) -> ModelProto:
        digest = hashlib.sha256(f"{model.architecture} {model.inputs} {rest}".encode())
        for value in folded.state_dict().values():
            digest.update(value.numpy().tobytes())
        key = digest.hexdigest()
        if key not in _exports:
            _exports[key] = export(model, folded, *rest)
        return copy.deepcopy(_exports[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_source, "export_onnx", remember)
        yield


def rewrite_hashes(folder: Path) -> None:
    """Make manifest and SHA256SUMS agree with the files again, as somebody who alters a bundle would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for file, data in list_tree(folder).items():
        if data is not None and file not in ("manifest.json", "SHA256SUMS"):
            manifest["files"].setdefault(file, {}).update(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rewrite_sums(folder)


def rewrite_sums(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    files = sorted(file for file, data in list_tree(folder).items() if data is not None)
    lines = [f"{hashlib.sha256((folder / file).read_bytes()).hexdigest()}  {file}\n" for file in files]
    (folder / "SHA256SUMS").write_text("".join(lines))
