"""Small files that want all memory, and files too large to be read, are refused before their bytes are."""

from __future__ import annotations

import json
import os
import resource
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from onnx import StringStringEntryProto, TensorProto

from converters.convert import Conversion
from parity_tests.support.command import require_refusal, rewrite_hashes, run_ganport
from parity_tests.support.foreign_models import TABLE, make_model, write_model
from parity_tests.support.seeded_checkpoints import write_checkpoint
from reference.checkpoint import MAX_EXPANDED_BYTES, read_checkpoint

# More than this machine's files need, less than any of these files wants.
HUGE_BYTES = 40 * 2**30


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """What is read all the same shows as a growth of the process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB, so 1 GiB


def make_sparse(path: Path, start: bytes = b"", size: int = HUGE_BYTES) -> Path:
    """A file that claims `size` bytes and takes next to no room."""
    path.write_bytes(start)
    os.truncate(path, size)
    return path


def test_tensors_that_are_views_are_counted_together(tmp_path: Path) -> None:
    """40 of 256 MiB each in a file of 12 KB."""
    path = tmp_path / "net.pth"
    torch.save({str(i): torch.zeros(1).expand(2**26) for i in range(40)}, path)
    assert path.stat().st_size < 20_000
    require_refusal(run_ganport("inspect", path), f"'0' above all, claim {40 * 2**28} bytes and hold ")


def test_tensors_that_share_what_is_stored_are_counted_together(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    stored = torch.zeros(2**20)
    torch.save({str(i): stored for i in range(300)}, path)
    require_refusal(run_ganport("inspect", path), f"'0' above all, claim {300 * 2**22} bytes and hold {2**22}")


def test_tied_weights_are_no_bomb(tmp_path: Path) -> None:
    tied = torch.zeros(2**10)
    torch.save({"a": tied, "b": tied, "c": tied[:7], "d": torch.zeros(1).expand(2**20)}, tmp_path / "net.pth")
    assert read_checkpoint(tmp_path / "net.pth").tensors.keys() == {"a", "b", "c", "d"}


def test_archive_that_unpacks_to_much_more_than_it_is_is_refused(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.pth", tmp_path / "packed.pth"
    size = MAX_EXPANDED_BYTES // 2**20 + 8
    torch.save({"a": torch.zeros(2**18)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
        with target.open("archive/data/9", "w") as file:
            for _ in range(size):
                file.write(bytes(2**20))
    assert packed.stat().st_size < 2**24
    require_refusal(run_ganport("inspect", packed), "unpacked. Save it again with torch.save.")


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors", "net.onnx"])
def test_file_that_is_too_large_is_not_read(name: str, tmp_path: Path) -> None:
    path = make_sparse(tmp_path / name, b"PK\x03\x04")
    require_refusal(
        run_ganport("inspect", path), f"bytes, {'and one ONNX file less' if 'onnx' in name else 'read are'}"
    )


def external(folder: Path, count: int, length: int | None, size: int) -> Path:
    """A model of `count` weights that lie in one file."""
    model = make_model(17, "y = Relu(x)", signature=TABLE)
    for index in range(count):
        entries = {"location": "weights.bin"} | ({} if length is None else {"length": str(length)})
        weight = TensorProto(name=f"w{index}", data_type=TensorProto.FLOAT, dims=[2**24])
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.extend(StringStringEntryProto(key=key, value=value) for key, value in entries.items())
        model.graph.initializer.append(weight)
    make_sparse(folder / "weights.bin", size=size)
    return write_model(folder, model)


@pytest.mark.parametrize(
    ("count", "length", "size"),
    [(1, None, HUGE_BYTES), (40, 2**26, 2**26), (40, None, 2**26), (1, 2**40, 2**26)],
    ids=["large file", "shared", "shared, no length", "length alone"],
)
def test_weights_outside_are_counted_before_they_are_read(
    count: int, length: int | None, size: int, tmp_path: Path
) -> None:
    path = external(tmp_path, count, length, size)
    result = run_ganport("convert", path, "--to", "onnx", "-o", tmp_path / "out")
    require_refusal(result, "bytes, and one ONNX file less than 2147483648. Split the model")


def test_setting_that_is_no_setting_is_left_out(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, "edge")
    content = torch.load(path)
    torch.save({**content, "note": "n" * 10**6, "epoch": 7}, path)
    result = run_ganport("inspect", path, "--json")
    assert json.loads(result.stdout)["claims"]["settings"] == {"epoch": "7", "iteration": "2000000"}


def grow_sums(folder: Path) -> str:
    make_sparse(folder / "SHA256SUMS", size=12 * 2**30)
    return "cannot be read (File too large)"


def grow_manifest(folder: Path) -> str:
    make_sparse(folder / "manifest.json")
    return "'manifest.json' is of 42949672960 bytes, which manifest.json does not record"


def grow_model(folder: Path) -> str:
    (model,) = folder.glob("*.onnx")
    os.truncate(model, HUGE_BYTES)
    return f"'{model.name}' is of {HUGE_BYTES} bytes, which manifest.json does not record"


def add_large(folder: Path) -> str:
    make_sparse(folder / "extra")
    return f"'extra' is of {HUGE_BYTES} bytes, which manifest.json does not record"


@pytest.mark.parametrize("grow", [grow_sums, grow_manifest, grow_model, add_large], ids=lambda grow: grow.__name__)
def test_bundle_with_a_file_that_has_grown_is_refused_before_it_is_hashed(
    grow: Callable[[Path], str], conversions: Mapping[str, Conversion], tmp_path: Path
) -> None:
    folder = shutil.copytree(conversions["edge"].bundle.folder, tmp_path / "edgeconnect-edge")
    said = grow(folder)
    require_refusal(run_ganport("verify", folder), said)


def test_manifest_that_is_too_large_is_not_read(conversions: Mapping[str, Conversion], tmp_path: Path) -> None:
    folder = shutil.copytree(conversions["edge"].bundle.folder, tmp_path / "edgeconnect-edge")
    make_sparse(folder / "manifest.json")
    for command in ("inspect", "bench"):
        require_refusal(run_ganport(command, folder), "cannot be read (File too large). Check its permissions")


def test_golden_array_that_claims_more_than_it_holds_is_refused(
    conversions: Mapping[str, Conversion], tmp_path: Path
) -> None:
    folder = shutil.copytree(conversions["edge"].bundle.folder, tmp_path / "edgeconnect-edge")
    path = folder / "golden" / "input_gray.npy"
    path.write_bytes(path.read_bytes().replace(b"(1, 1, ", b"(9999, ", 1))
    rewrite_hashes(folder)
    require_refusal(run_ganport("verify", folder), "'golden/input_gray.npy' is no array")
