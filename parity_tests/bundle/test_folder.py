"""Bundles: written whole or not at all; one altered bit is found and named."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from converters.bundle import checksums
from converters.bundle import folder as bundle
from converters.bundle.scratch import clear_stale
from converters.errors import BundleError
from converters.files import hash_file, write_json
from parity_tests.support.places import ROOT


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


@pytest.mark.parametrize("file", ["notes.txt", ".hidden", "golden/mine.npy", "new/folder/file"])
def test_bundle_that_holds_a_file_of_the_users_is_not_replaced(file: str, tmp_path: Path) -> None:
    write_sample(tmp_path / "b")
    mine = tmp_path / "b" / file
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(BundleError, match=f"'{file}' in it is no file of the bundle. Move it away"):
        bundle.require_writable(tmp_path / "b", overwrite=True)
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("sums", [b"", b"0123\r\n", b"\xff\xfe"])
def test_bundle_whose_sums_are_damaged_is_replaced_where_the_manifest_knows_its_files(
    sums: bytes, tmp_path: Path
) -> None:
    write_sample(tmp_path / "b")
    (tmp_path / "b" / "SHA256SUMS").write_bytes(sums)
    bundle.require_writable(tmp_path / "b", overwrite=True)
    (tmp_path / "b" / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"'notes\.txt' in it is no file of the bundle"):
        bundle.require_writable(tmp_path / "b", overwrite=True)


def test_file_that_comes_while_the_new_bundle_is_made_is_kept(tmp_path: Path) -> None:
    write_sample(tmp_path / "b")
    bundle.require_writable(tmp_path / "b", overwrite=True)
    (tmp_path / "b" / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"'notes\.txt' in it is no file of the bundle"):
        write_sample(tmp_path / "b", "two")
    assert (tmp_path / "b" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "b" / "model.onnx").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def leave_scratch(folder: Path, name: str = "b") -> Path:
    """What a killed run leaves: a scratch folder whose lock nobody holds."""
    scratch = folder / f".{name}.ganport-dead"
    scratch.mkdir()
    (scratch / "owner").write_text("1")
    (scratch / "lock").touch()
    (scratch / "new").mkdir()
    (scratch / "new" / "half").write_text("x")
    return scratch


def test_next_run_clears_what_a_killed_run_left(tmp_path: Path) -> None:
    leave_scratch(tmp_path)
    bundle.require_writable(tmp_path / "b", overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_bundle_moved_away_by_a_killed_run_comes_back(tmp_path: Path) -> None:
    write_sample(tmp_path / "b")
    (tmp_path / "b").rename(leave_scratch(tmp_path) / "old")
    clear_stale(tmp_path / "b")
    checksums.verify_hashes(tmp_path / "b")
    shutil.copytree(tmp_path / "b", leave_scratch(tmp_path) / "old")
    clear_stale(tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("name", [".b.partial", ".b.old", ".b.ganport-mine", ".b.failed"])
def test_users_folders_beside_the_bundle_are_not_touched(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.tex").write_text("x")
    bundle.require_writable(tmp_path / "b", overwrite=True)
    write_sample(tmp_path / "b")
    assert (tmp_path / name / "thesis.tex").read_text() == "x"


HOLD = """
import sys
from pathlib import Path
from converters.bundle.folder import write_bundle
with write_bundle(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_second_run_is_told_which_process_is_writing_and_spoils_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "b"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        said = rf"another run is writing it \(process {other.pid}\)"
        with pytest.raises(BundleError, match=said):
            bundle.require_writable(tmp_path / "b", overwrite=True)
        with pytest.raises(BundleError, match=said):
            write_sample(tmp_path / "b")
        other.communicate()
    checksums.verify_hashes(tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_bundle_that_another_run_finished_meanwhile_is_not_replaced_unasked(tmp_path: Path) -> None:
    def finish_second() -> None:
        with bundle.write_bundle(tmp_path / "b", overwrite=False) as partial:
            (partial / "manifest.json").write_text("second")
            shutil.copytree(tmp_path / "first", tmp_path / "b")

    write_sample(tmp_path / "first", "first")
    with pytest.raises(BundleError, match="another run has written it meanwhile"):
        finish_second()
    assert (tmp_path / "b" / "model.onnx").read_text() == "first"


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
