"""C++: what a user builds from the written-out sources, by the lines that the READMEs give, works."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.write_consumer import write_consumer
from converters.bundle.cpp_readme import format_cpp_readme
from converters.convert import Conversion
from converters.targets.registry import TARGETS
from parity_tests.support.command import list_tree, run_ganport
from parity_tests.support.cpp_build import BACKENDS, FOLDER, SOURCES, build_environment, run_build
from parity_tests.support.places import PHOTOS, ROOT

MOST_LINES = 400


def list_sources() -> set[str]:
    """Files of the tree that git has or would take, relative to the sources' folder."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."]
    done = subprocess.run(command, cwd=SOURCES, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git repository")
    return {file for file in done.stdout.splitlines() if (SOURCES / file).is_file()}


def list_commands(text: str, heading: str = "") -> list[str]:
    """The indented lines of a README, those in fences left out; with a heading, only those below it."""
    if heading:
        (text,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^    (\S.*)$", text, re.MULTILINE)


def run_line(line: str, cwd: Path) -> str:
    """Run a line of a README in a shell; what it printed."""
    done = subprocess.run(
        ["bash", "-e", "-c", line], cwd=cwd, env=build_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def place(shipped_pipeline: Conversion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline's bundle, a photo and its mask, where the bundle's lines for ONNX Runtime were run."""
    folder = tmp_path_factory.mktemp("user")
    bundle = shutil.copytree(shipped_pipeline.bundle.folder, folder / "edgeconnect")
    shutil.copy(PHOTOS / "coffee.png", folder / "photo.png")
    shutil.copy(PHOTOS / "coffee-mask.png", folder / "mask.png")
    readme = (bundle / "cpp" / "README.md").read_text()
    written = [line for line in list_commands(readme) if line.startswith("ganport consumers")]
    lines = [*written, *list_commands(readme, "ONNX Runtime")]
    assert [line.split()[0].rpartition("/")[2] for line in lines] == [
        "ganport",
        "cmake",
        "cmake",
        "ganport-selftest",
        "ganport-inpaint",
    ]
    for line in lines:
        run_line(line, folder)
    return folder


def test_lines_of_a_bundles_readme_build_the_programs_and_fill_the_hole(place: Path) -> None:
    assert (place / "filled.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in place.iterdir()) == [
        "edgeconnect",
        "filled.png",
        "ganport-cpp",
        "mask.png",
        "photo.png",
    ]


def test_readmes_program_builds_against_the_installed_library(
    place: Path, conversions: Mapping[str, Conversion], tmp_path: Path
) -> None:
    run_build("cmake", "--install", place / "ganport-cpp" / "build-onnxruntime", "--prefix", tmp_path / "installed")
    installed = {file for file, data in list_tree(tmp_path / "installed").items() if data is not None}
    assert {"bin/ganport-selftest", "bin/ganport-inpaint", "include/ganport/generator.hpp"} <= installed
    assert not [file for file in installed if "run_arrays" in file or "backend" in file]

    readme = (SOURCES / "README.md").read_text()
    (program,) = re.findall(r"^```cpp\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    lines = "\n".join(list_commands(readme, "Use"))
    (tmp_path / "main.cpp").write_text(program)
    (tmp_path / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.25)\nproject(mine LANGUAGES CXX)\nadd_executable(mine main.cpp)\n{lines}\n"
    )
    said = run_build("cmake", "-B", "build", f"-DCMAKE_PREFIX_PATH={tmp_path / 'installed'}", cwd=tmp_path)
    assert "Warning" not in said, said
    run_build("cmake", "--build", "build", cwd=tmp_path)
    shutil.copytree(conversions["inpaint"].bundle.folder, tmp_path / "edgeconnect-inpaint")
    said = run_build(tmp_path / "build" / "mine", "edgeconnect-inpaint", cwd=tmp_path)
    assert re.fullmatch(r"\(1, 3, 256, 320\), 0 to 0\.\d+\n", said)
    assert "```cpp\n" + program + "```" in (ROOT / "docs" / "cpp.md").read_text()
    missing = subprocess.run([tmp_path / "build" / "mine", "nowhere"], capture_output=True, text=True, check=False)
    assert (missing.returncode, missing.stderr.startswith("nowhere")) == (1, True), missing.stderr
    selftest = tmp_path / "installed" / "bin" / "ganport-selftest"
    assert "passed" in run_build(selftest, "edgeconnect-inpaint", cwd=tmp_path)


def test_readmes_lines_differ_by_the_runtime_alone(conversions: Mapping[str, Conversion]) -> None:
    """So that the one that is run speaks for the others, whose builds other tests run with sanitizers."""
    readme = (conversions["edge"].bundle.folder / "cpp" / "README.md").read_text()
    runtimes = [runtime for target in TARGETS.values() for runtime in target.cpp_runtimes]
    assert {runtime.backend for runtime in runtimes} == set(BACKENDS)
    lines = {}
    for runtime in runtimes:
        text = "\n".join(list_commands(readme, runtime.title))
        lines[text.replace(runtime.backend, "RUNTIME").replace(runtime.location, "PLACE")] = runtime
    assert len(lines) == 1
    assert (SOURCES / "CMakePresets.json").read_text().count('"GANPORT_BACKEND"') == len(BACKENDS)


def test_bundles_readme_names_only_runtimes_whose_files_it_holds(conversions: Mapping[str, Conversion]) -> None:
    whole = conversions["edge"].bundle.manifest
    artifacts = {artifact.target: artifact for artifact in whole.artifacts}
    text = format_cpp_readme(replace(whole, name="a b", artifacts=(artifacts["mxnet"], artifacts["trt"]))) or ""
    assert "## MXNet" in text
    assert "## ONNX Runtime" not in text
    assert "ganport-selftest 'a b'" in text
    assert "ganport-inpaint" not in text
    assert format_cpp_readme(replace(whole, artifacts=(artifacts["trt"],))) is None


def test_sources_are_written_whole_and_without_litter(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run_ganport("consumers", "cpp", tmp_path / "empty")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'empty'}\n")
    written = {file for file, data in list_tree(tmp_path / "empty").items() if data is not None}
    assert written == list_sources()
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_litter_of_a_build_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = Path(shutil.copytree(SOURCES, tmp_path / "consumers" / "cpp"))
    for name in ("build", "build-mxnet"):
        (sources / name).mkdir()
        (sources / name / "a.o").touch()
    monkeypatch.setattr("consumers.write_consumer.CONSUMERS", tmp_path / "consumers")
    write_consumer("cpp", tmp_path / "written")
    assert not list((tmp_path / "written").rglob("a.o"))


FULL = OSError(28, "No space left on device")
# What the system says, and what shutil makes of it.
FULL_DISK = (FULL, shutil.Error([("from", "to", str(OSError(28, "No space left on device", "to")))]))


@pytest.mark.parametrize("error", FULL_DISK)
@pytest.mark.parametrize("is_new", [True, False])
def test_failed_write_leaves_nothing(
    is_new: bool, error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "written"
    if not is_new:
        folder.mkdir()

    def fail_midway(source: Path, target: Path, **options: object) -> None:
        target.mkdir(exist_ok=True)
        (target / "half.cpp").touch()
        raise error

    monkeypatch.setattr(shutil, "copytree", fail_midway)
    result = run_ganport("consumers", "cpp", folder)
    assert result.exit_code == 1
    assert "cannot be written (No space left on device)" in result.stderr
    assert (folder.exists(), list_tree(tmp_path)) == (not is_new, {} if is_new else {"written": None})


@pytest.mark.parametrize("place", ["folder", "file", "link"])
def test_place_that_is_taken_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("nothing")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    result = run_ganport("consumers", "cpp", tmp_path / place)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"ganport: {tmp_path / place}: something is already there. Name a new folder.\n"
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result = run_ganport("consumers", "cpp", tmp_path / "file" / "deep")
    assert result.exit_code == 1
    assert "cannot be written (" in result.stderr


def test_installed_wheel_writes_the_sources(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r}); import cli; print(cli.__file__); cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "consumers", "cpp", "written"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [str(tmp_path / "installed" / "cli.py"), "written"]
    written = {file for file, data in list_tree(tmp_path / "written").items() if data is not None}
    assert written == list_sources()


def test_dependencies_lie_in_the_build_folder_and_look_like_a_release_archive() -> None:
    build_environment()
    assert (FOLDER / "onnxruntime" / "include" / "onnxruntime_cxx_api.h").is_file()
    assert (FOLDER / "onnxruntime" / "lib" / "libonnxruntime.so").is_file()


def test_files_are_short_and_name_no_machine() -> None:
    for file in list_sources():
        text = (SOURCES / file).read_text()
        assert len(text.splitlines()) < MOST_LINES, file
        assert str(ROOT) not in text, file
        assert max(map(len, text.splitlines()), default=0) <= 120 or file.endswith(".md"), file
