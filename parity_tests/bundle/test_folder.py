"""Bundles: written whole or not at all; one altered bit is found and named."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from converters.bundle import checksums
from converters.bundle import folder as bundle
from converters.errors import BundleError
from converters.files import hash_file, write_json


def write_sample(folder: Path, text: str = "one") -> None:
    with bundle.write_bundle(folder) as partial:
        (partial / "model.onnx").write_text(text)
        (partial / "sub").mkdir()
        (partial / "sub" / "a.npy").write_text("a")
        hashes = {file: {"sha256": hash_file(partial / file)} for file in checksums.list_files(partial)}
        write_json(partial / "manifest.json", {"schema_version": 1, "files": hashes})


def test_complete_bundle_verifies_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_sample(tmp_path / "b")
    checksums.verify_hashes(tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_sums_are_what_sha256sum_reads(tmp_path: Path) -> None:
    write_sample(tmp_path / "b")
    subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=tmp_path / "b", check=True, capture_output=True)


def test_one_flipped_bit_in_any_file_is_found_and_the_file_named(tmp_path: Path) -> None:
    write_sample(tmp_path / "b")
    files = checksums.list_files(tmp_path / "b")
    assert len(files) == 4
    for file in files:
        path = tmp_path / "b" / file
        whole = path.read_bytes()
        for position in range(0, len(whole), max(1, len(whole) // 40)):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            with pytest.raises(BundleError) as caught:
                checksums.verify_hashes(tmp_path / "b")
            assert f"'{file}'" in str(caught.value)
        path.write_bytes(whole)
    checksums.verify_hashes(tmp_path / "b")


def test_missing_and_unlisted_files_are_named(tmp_path: Path) -> None:
    write_sample(tmp_path / "b")
    (tmp_path / "b" / "model.onnx").rename(tmp_path / "b" / "other.onnx")
    with pytest.raises(BundleError, match=r"'model.onnx' is missing; 'other.onnx' is not listed"):
        checksums.verify_hashes(tmp_path / "b")


def test_folder_without_sums_is_no_complete_bundle(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match="holds no SHA256SUMS"):
        checksums.verify_hashes(tmp_path)


def test_failure_leaves_nothing_and_takes_new_parents_away(tmp_path: Path) -> None:
    def fail_midway() -> None:
        with bundle.write_bundle(tmp_path / "new" / "deep" / "b") as partial:
            (partial / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_midway()
    assert list(tmp_path.iterdir()) == []


def test_failed_replacement_keeps_the_old_bundle(tmp_path: Path) -> None:
    write_sample(tmp_path / "b")
    with pytest.raises(RuntimeError), bundle.write_bundle(tmp_path / "b"):
        raise RuntimeError
    assert (tmp_path / "b" / "model.onnx").read_text() == "one"
    checksums.verify_hashes(tmp_path / "b")


def test_overwrite_replaces_the_bundle(tmp_path: Path) -> None:
    write_sample(tmp_path / "b")
    with pytest.raises(BundleError, match="--overwrite"):
        bundle.require_writable(tmp_path / "b", overwrite=False)
    bundle.require_writable(tmp_path / "b", overwrite=True)
    write_sample(tmp_path / "b", "two")
    assert (tmp_path / "b" / "model.onnx").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_next_run_clears_what_a_killed_run_left(tmp_path: Path) -> None:
    (tmp_path / ".b.partial").mkdir()
    (tmp_path / ".b.partial" / "half").write_text("x")
    bundle.require_writable(tmp_path / "b", overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_bundle_moved_away_by_a_killed_run_comes_back(tmp_path: Path) -> None:
    write_sample(tmp_path / "b")
    (tmp_path / "b").rename(tmp_path / ".b.old")
    bundle.recover(tmp_path / "b")
    checksums.verify_hashes(tmp_path / "b")
    shutil.copytree(tmp_path / "b", tmp_path / ".b.old")
    bundle.recover(tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_users_own_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("x")
    with pytest.raises(BundleError, match="not a bundle"):
        bundle.require_writable(tmp_path / "b", overwrite=True)


def test_place_below_a_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleError, match="'file' is a file"):
        bundle.require_writable(tmp_path / "file" / "deep" / "b", overwrite=False)


def test_later_schema_version_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", {"schema_version": 2})
    with pytest.raises(BundleError, match="schema version is 2, known is 1"):
        bundle.read_bundle(tmp_path)
