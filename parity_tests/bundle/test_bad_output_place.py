"""Places where no bundle can be written, and what a failed conversion leaves: nothing new, nothing lost."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import Result

from converters.bundle import checksums
from converters.bundle import folder as bundle
from converters.bundle.scratch import clear_stale
from converters.convert import Conversion
from parity_tests.support.command import list_tree, remembered_exports, require_refusal, run_ganport

NAME = "edgeconnect-edge"


@pytest.fixture(autouse=True)
def _quick_exports() -> Iterator[None]:
    with remembered_exports():
        yield


@pytest.fixture
def tmpfs(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of its own, by default 160 KiB: less than a bundle needs."""
    size = getattr(request, "param", "160k")
    place = tmp_path / "tmpfs"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=False).returncode != 0:
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", place], check=True)


def convert_edge(checkpoints: Mapping[str, Path], out: Path, *options: str) -> Result:
    return run_ganport("convert", checkpoints["edge"], "--to", "onnx,mxnet", "-o", out, *options)


def test_place_below_a_regular_file_is_refused(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("the user's")
    for out in (tmp_path / "file", tmp_path / "file" / "deep"):
        require_refusal(convert_edge(checkpoints, out), "'file' is a file, not a folder")
    assert list_tree(tmp_path) == {"file": b"the user's"}


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_what_is_not_a_bundle_is_never_replaced(
    checkpoints: Mapping[str, Path], tmp_path: Path, overwrite: list[str]
) -> None:
    folder, web, file, link = (tmp_path / name / NAME for name in ("folder", "web", "file", "link"))
    for place in (folder, web, file.parent, link.parent):
        place.mkdir(parents=True)
    (folder / "thesis.tex").write_text("x")
    (web / "manifest.json").write_text("{}")
    file.write_text("x")
    link.symlink_to("nowhere")
    before = list_tree(folder.parent) | list_tree(web.parent) | list_tree(file.parent)
    for place in (folder, web, file, link):
        require_refusal(convert_edge(checkpoints, place.parent, *overwrite), "something that is not a bundle is there")
    assert list_tree(folder.parent) | list_tree(web.parent) | list_tree(file.parent) == before
    assert os.readlink(link) == "nowhere"


def test_existing_bundle_stays_without_overwrite(
    checkpoints: Mapping[str, Path], conversions: Mapping[str, Conversion], tmp_path: Path
) -> None:
    shutil.copytree(conversions["edge"].bundle.folder, tmp_path / NAME)
    before = list_tree(tmp_path)
    require_refusal(convert_edge(checkpoints, tmp_path), "a bundle is already there. Replace it with --overwrite")
    assert list_tree(tmp_path) == before


def test_overwriting_a_link_to_a_bundle_leaves_that_bundle_whole(
    checkpoints: Mapping[str, Path], conversions: Mapping[str, Conversion], tmp_path: Path
) -> None:
    shutil.copytree(conversions["edge"].bundle.folder, tmp_path / "kept")
    before = list_tree(tmp_path / "kept")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAME).symlink_to("../kept")
    assert convert_edge(checkpoints, tmp_path / "out", "--overwrite").exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [NAME]
    assert not (tmp_path / "out" / NAME).is_symlink()
    assert list_tree(tmp_path / "kept") == before


def test_folder_that_may_not_be_written_is_refused(checkpoints: Mapping[str, Path], tmpfs: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tmpfs], check=True)
    require_refusal(convert_edge(checkpoints, tmpfs / "new"), "the folder 'tmpfs' is not writable")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; the read-only file system stands in")
def test_folder_without_permission_is_refused(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    require_refusal(convert_edge(checkpoints, tmp_path / "locked"), "the folder 'locked' is not writable")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_folder_that_the_system_refuses_to_make_is_explained(checkpoints: Mapping[str, Path]) -> None:
    require_refusal(convert_edge(checkpoints, Path("/proc/ganport")), "/proc/ganport")


# The largest file is the .onnx, about 56 kB.
@pytest.mark.parametrize("limit", [0, 50_000])
def test_file_size_limit_leaves_nothing(checkpoints: Mapping[str, Path], tmp_path: Path, limit: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        result = convert_edge(checkpoints, tmp_path / "new" / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    require_refusal(result, "cannot be written (File too large)")
    assert list_tree(tmp_path) == {}


def test_file_size_limit_of_a_real_shell_leaves_nothing(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    command = 'ulimit -f 30; exec "$0" -m cli convert "$1" --to onnx -o "$2"'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, checkpoints["edge"], tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("ganport: ")
    assert "cannot be written (File too large)" in done.stderr
    assert "Traceback" not in done.stderr
    assert list_tree(tmp_path) == {}


# The .onnx takes about 60 kB, the .params as much, the symbol 20 kB, the golden arrays 100 kB.
@pytest.mark.parametrize("tmpfs", ["8k", "100k", "160k"], indirect=True)
def test_full_disk_leaves_nothing(checkpoints: Mapping[str, Path], tmpfs: Path) -> None:
    require_refusal(convert_edge(checkpoints, tmpfs / "new" / "out"), "cannot be written (No space left on device)")
    assert list_tree(tmpfs) == {}


def test_disk_that_fills_up_before_the_sums_leaves_the_old_bundle(tmpfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bundle.write_bundle(tmpfs / "b") as partial:
        (partial / "manifest.json").write_text("old")
    before = list_tree(tmpfs / "b")
    format_sums = checksums.format_sums

    def fill_the_disk_first(folder: Path) -> str:
        with pytest.raises(OSError, match="No space left"):
            (tmpfs / "filler").write_bytes(bytes(200_000))
        return format_sums(folder)

    monkeypatch.setattr(bundle, "format_sums", fill_the_disk_first)
    with (
        pytest.raises(bundle.BundleError, match="No space left on device"),
        bundle.write_bundle(tmpfs / "b") as partial,
    ):
        (partial / "manifest.json").write_text("new")
    (tmpfs / "filler").unlink()
    assert list_tree(tmpfs) == {"b": None, **{f"b/{file}": data for file, data in before.items()}}


def test_two_runs_at_once_do_not_crash_and_the_later_one_is_told(tmp_path: Path) -> None:
    with bundle.write_bundle(tmp_path / "b") as partial:
        (partial / "manifest.json").write_text("first")
        with pytest.raises(bundle.BundleError, match="another run is writing it"), bundle.write_bundle(tmp_path / "b"):
            pytest.fail("two runs share one partial folder")
        assert (partial / "manifest.json").read_text() == "first"
    checksums.verify_hashes(tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_run_whose_partial_folder_another_run_cleared_fails_with_a_message(tmp_path: Path) -> None:
    def be_cleared_midway() -> None:
        with bundle.write_bundle(tmp_path / "b") as partial:
            shutil.rmtree(partial.parent)
            (partial / "model.onnx").write_text("x")

    with pytest.raises(bundle.BundleError, match="cannot be written"):
        be_cleared_midway()
    assert list_tree(tmp_path) == {}


def test_leftover_that_is_a_link_is_left_and_what_it_leads_to_too(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "lock").write_text("x")
    (tmp_path / ".b.ganport-link").symlink_to("kept")
    clear_stale(tmp_path / "b")
    assert (tmp_path / ".b.ganport-link").is_symlink()
    assert (tmp_path / "kept" / "lock").read_text() == "x"
