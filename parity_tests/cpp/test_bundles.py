"""C++: a sound bundle reproduces its golden case in every runtime; every damage to one is a sentence, never a crash."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.convert import Conversion
from parity_tests.support.command import list_tree, rewrite_sums
from parity_tests.support.cpp_build import BACKENDS, build, require_refusal, run

NAME = "edgeconnect-inpaint"
BUSY = 6  # programs at once, on a machine of fewer cores
MODEL_FILES = {
    "onnxruntime": [f"{NAME}.onnx"],
    "openvino": [f"{NAME}.onnx"],
    "mxnet": [f"{NAME}-symbol.json", f"{NAME}-0000.params"],
}
READERS = [(backend, file) for backend, files in MODEL_FILES.items() for file in files]


@pytest.fixture
def folder(conversions: Mapping[str, Conversion], tmp_path: Path) -> Path:
    """A copy of the inpaint net's bundle, to be altered."""
    return shutil.copytree(conversions["inpaint"].bundle.folder, tmp_path / NAME)


def replay(backend: str, folder: Path) -> list[str]:
    """The lines of a selftest that passes."""
    done = run(backend, "ganport-selftest", "--threads", 2, folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def refuse(backend: str, folder: Path, said: str) -> None:
    require_refusal(run(backend, "ganport-selftest", "--threads", 2, folder), said)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("net", ["edge", "inpaint"])
def test_golden_case_is_reproduced_within_the_gate(
    net: str, backend: str, conversions: Mapping[str, Conversion]
) -> None:
    output = {"edge": "edges_out", "inpaint": "result"}[net]
    gate = {"onnxruntime": "onnx"}.get(backend, backend)
    (line,) = replay(backend, conversions[net].bundle.folder)
    assert line.startswith(f"{output}: max abs error ")
    assert line.endswith(f", gate '{gate}' passed")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_golden_case_of_a_pipeline_is_reproduced_each_output_by_its_own_gate(
    backend: str, shipped_pipeline: Conversion
) -> None:
    lines = replay(backend, shipped_pipeline.bundle.folder)
    gate = {"onnxruntime": "onnx"}.get(backend, backend)
    gates = {line.split(":")[0]: line.split("gate ")[1] for line in lines}
    assert gates == {"result": "'levels' passed", "edges": f"'{gate}' passed", "canny": "'equal' passed"}


def test_pipeline_in_mxnet_is_refused(shipped_pipeline: Conversion) -> None:
    refuse("mxnet", shipped_pipeline.bundle.folder, "it holds onnx, trt, which mxnet does not run")


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_flipped_bit_in_any_file_is_found_and_the_file_named(backend: str, folder: Path) -> None:
    rng = random.Random(0)
    files = [file for file, data in list_tree(folder).items() if data is not None]
    assert {"", ".onnx", ".json", ".params", ".engine", ".md", ".npy"} <= {Path(file).suffix for file in files}
    for file in files:
        whole = (folder / file).read_bytes()
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        (folder / file).write_bytes(flipped)
        refuse(backend, folder, f"'{file}'")
        (folder / file).write_bytes(whole)
    replay(backend, folder)


def remove(folder: Path) -> None:
    (folder / "parity.md").unlink()


def add(folder: Path) -> None:
    (folder / "golden" / ".extra").touch()


def link(folder: Path) -> None:
    (folder / "parity.md").rename(folder.parent / "parity.md")
    (folder / "parity.md").symlink_to(folder.parent / "parity.md")


def link_folder(folder: Path) -> None:
    (folder / "golden").rename(folder.parent / "golden")
    (folder / "golden").symlink_to(folder.parent / "golden")


def make_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def take_sums(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()


def break_sums(folder: Path) -> None:
    (folder / "SHA256SUMS").write_bytes(b"\0\xff no sums\n\n  \n")


def add_odd_name(folder: Path) -> None:
    (folder / "a\n\x1b[31mb").touch()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (remove, "'parity.md' is missing"),
        (add, "'golden/.extra' is not listed"),
        (link, "'parity.md' is no regular file"),
        (link_folder, "'golden' is no regular file"),
        (make_pipe, "'pipe' is no regular file"),
        (take_sums, "it holds no SHA256SUMS"),
        (break_sums, "'manifest.json' is not listed"),
        (add_odd_name, "' is not listed"),
    ],
)
def test_folder_that_is_not_what_its_sums_say_is_refused(
    folder: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(folder)
    refuse("onnxruntime", folder, said)


def test_file_of_odd_name_is_listed_as_sha256sum_lists_it(folder: Path) -> None:
    (folder / "a\\b\nc").write_text("x")
    from converters.bundle.checksums import SUMS, format_sums

    (folder / SUMS).unlink()
    (folder / SUMS).write_text(format_sums(folder))
    replay("onnxruntime", folder)


@pytest.mark.parametrize("place", ["nothing", "file"])
def test_place_without_a_bundle_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refuse("onnxruntime", tmp_path / place, "it is no folder. Name a bundle's folder")


def change(*way: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    """Set the value that a way of keys and indices leads to."""

    def apply(manifest: Any) -> None:
        for step in way[:-1]:
            manifest = manifest[step]
        manifest[way[-1]] = to

    return apply


IMAGE = ("contract", "inputs", 0)


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (change("schema_version", to=2), "its schema version is 2, known is 1. Update"),
        (change("schema_version", to="1"), "schema_version is not a whole number"),
        (change("schema_version", to=2**64 - 1), "schema_version is not a whole number"),
        (change("contract", to=[]), "it lacks contract.inputs"),
        (change("contract", "inputs", to={}), "contract.inputs is not a list"),
        (change("contract", "outputs", to=[]), "contract.outputs is not a list of tensors"),
        (change(*IMAGE, to=None), "it lacks contract.inputs[0].name"),
        (change(*IMAGE, "name", to="mask"), "name is not unique"),
        (change(*IMAGE, "name", to="../image"), "'golden/input_../image.npy' is not among its files"),
        (change(*IMAGE, "name", to="picture"), "'golden/input_picture.npy' is not among its files"),
        (
            change(*IMAGE, "dtype", to="uint16"),
            "float16, float64. This library knows no other types: run the bundle in another runtime",
        ),
        (change(*IMAGE, "dtype", to="uint8"), "input 'image': its dtype is float32. Convert it to uint8"),
        (change(*IMAGE, "shape", 1, to=1e300), "contract.inputs[0].shape[1] is not a whole number"),
        (change(*IMAGE, "shape", 1, to=-1), "contract.inputs[0].shape[1] is not 1 or more"),
        (change(*IMAGE, "shape", 1, to=4), "its shape is (1, 3, 64, 96). Give (N, 4, H, W)"),
        (change(*IMAGE, "shape", to=["N"]), "Give 1 axes (N,)"),
        (change(*IMAGE, "multiple_of", to=0), "multiple_of is not 1 or more"),
        (change("contract", "outputs", 0, "shape", 1, to=4), "the contract says float32 (N, 4, H, W)"),
        (change("artifacts", to=[]), "it holds nothing, which onnxruntime does not run"),
        (change("artifacts", 0, "files", to=["../../etc/passwd"]), "'../../etc/passwd' is not among its files"),
        (change("artifacts", 0, "files", 0, to=7), "artifacts[0].files[0] is not a text"),
        (change("artifacts", 0, "gate", to="none"), "the manifest has no gate 'none'"),
        (change("gates", to=None), "gates is not an object"),
        (change("gates", "onnx", "max_abs", to="0.1"), "gates.onnx.max_abs is not a number or null"),
        (change("judging", "result", to={}), "it lacks judging.result.gate"),
        (change("judging", "result", "gate", to=3), "judging.result.gate is not a text"),
    ],
)
def test_manifest_that_says_something_else_is_refused(
    folder: Path, alter: Callable[[dict[str, Any]], None], said: str
) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    alter(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rewrite_sums(folder)
    refuse("onnxruntime", folder, said)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 200_000, b'{"schema_version": 1e999}', b'{"a":' * 100_000]
)
def test_file_that_is_no_manifest_is_refused(folder: Path, text: bytes) -> None:
    (folder / "manifest.json").write_bytes(text)
    rewrite_sums(folder)
    refuse("onnxruntime", folder, "manifest.json")


def test_manifest_with_any_byte_altered_never_crashes(folder: Path) -> None:
    rng = random.Random(0)
    whole = (folder / "manifest.json").read_bytes()
    contract = whole.index(b'"contract"')
    for _ in range(60):
        altered = bytearray(whole)
        altered[rng.randrange(contract, len(whole))] = rng.randrange(256)
        (folder / "manifest.json").write_bytes(altered)
        rewrite_sums(folder)
        done = run("onnxruntime", "ganport-selftest", "--threads", 2, folder)
        if done.returncode != 0:
            require_refusal(done)


@pytest.mark.parametrize(("backend", "file"), READERS)
@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])  # MXNet reads a symbol that lacks only its last attribute
def test_model_file_cut_short_is_the_runtimes_error_in_one_line(
    backend: str, file: str, part: float, folder: Path
) -> None:
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: int(part * len(whole))])
    rewrite_sums(folder)
    refuse(backend, folder, "onvert it again")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\x93NUMPY", "it is no such array file"),
        (b"PK\x03\x04" + bytes(100), "it is no such array file"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'", "it is no such array file"),
        # 2^64 + 8 bytes, and the file has 8
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (6, 768614336404564651), }", "its header claims the shape"),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (461168601842738790, 40), }",
            "its header claims the shape",
        ),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999999999999,), }", "it is no such array file"),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4), }",
            "its header claims the shape (0, 4), it holds 8",
        ),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "its header claims the shape (1,), it holds 8"),
        ("{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }", "it is no such array file"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", "its dtype is float64. Convert it to float32"),
        ("{'descr': '<u4', 'fortran_order': False, 'shape': (2,), }", "its element type is <u4"),
        ("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", "its element type is >f4"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "its shape is (2,). Give 4 axes (N, 3, H, W)"),
    ],
)
def test_golden_array_that_is_none_is_refused(folder: Path, text: bytes | str, said: str) -> None:
    if isinstance(text, str):
        text = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(8)
    (folder / "golden" / "input_image.npy").write_bytes(text)
    rewrite_sums(folder)
    refuse("onnxruntime", folder, said)


def shift(array: Any) -> Any:
    array = array.copy()
    array[0, 1, array.shape[2] // 2, array.shape[3] // 2] += 0.01
    return array


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (shift, "output 'result': max abs error 1.0e-02, allowed 2.0e-05"),
        (lambda array: array + np.float32(3e-5), ", allowed 2.0e-05; output 'result': 99.9th percentile "),
        (lambda array: array * np.float32("nan"), "max abs error inf"),
        (lambda array: array.repeat(2, axis=0), "it is float32 (1, 3, 64, 96), golden float32 (2, 3, 64, 96)"),
        (lambda array: (array * 255).astype(np.uint8), "golden uint8"),
    ],
)
def test_golden_outputs_that_are_others_miss_the_gate(folder: Path, alter: Callable[[Any], Any], said: str) -> None:
    path = folder / "golden" / "output_result.npy"
    np.save(path, alter(np.load(path)))
    rewrite_sums(folder)
    refuse_with_report(run("onnxruntime", "ganport-selftest", "--threads", 2, folder), said)


def refuse_with_report(done: Any, said: str) -> None:
    """Each output has been printed, if it could be compared; the verdict is on stderr."""
    require_refusal(done, said)
    assert "passed" not in done.stdout


@pytest.mark.parametrize("alter", ["gates", "own gate"])
def test_gate_is_the_manifests(folder: Path, alter: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    if alter == "gates":
        manifest["gates"]["onnx"]["psnr_db"] = 500
    else:
        manifest["judging"]["result"]["gate"] = "equal"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rewrite_sums(folder)
    refuse("onnxruntime", folder, "dB, required 500" if alter == "gates" else ", allowed 0.0e+00")


def test_names_do_not_act_on_the_terminal(folder: Path) -> None:
    """Nor do they forge a line: a control character, also one of two bytes, and marks of direction become spaces."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    evil = "o\x1b[2J\n\u009b31m\u202e\u2028\u2066x\u00e9"
    manifest["gates"][evil] = manifest["gates"]["onnx"]
    manifest["judging"]["result"]["gate"] = evil
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rewrite_sums(folder)
    (line,) = replay("onnxruntime", folder)
    assert line.endswith(", gate 'o [2J  31m   x\u00e9' passed")
    manifest["judging"]["result"]["gate"] = f"{evil}?"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rewrite_sums(folder)
    refuse("onnxruntime", folder, "o [2J  31m   x\u00e9?")


def test_level_gate_lets_one_level_pass_and_no_more(shipped_pipeline: Conversion, tmp_path: Path) -> None:
    folder = shutil.copytree(shipped_pipeline.bundle.folder, tmp_path / "edgeconnect")
    path = folder / "golden" / "output_result.npy"
    golden = np.load(path)
    np.save(path, np.where(golden < 128, golden + 1, golden - 1).astype(np.uint8))
    rewrite_sums(folder)
    replay("onnxruntime", folder)
    np.save(path, np.where(golden < 128, golden + 2, golden - 2).astype(np.uint8))
    rewrite_sums(folder)
    refuse("onnxruntime", folder, "output 'result': 99.9th percentile 2.0e+00, allowed 1.0e+00")


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--threads"], ["--threads", "0", "a"], ["--what", "a"]])
def test_wrong_arguments_are_a_usage_error(arguments: list[str]) -> None:
    done = run("onnxruntime", "ganport-selftest", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("ganport-selftest: usage: ganport-selftest [--threads N] BUNDLE\n")
    assert ("--threads takes a number" in done.stderr) == ("--threads" in arguments)


def test_library_older_than_the_headers_is_a_sentence_and_no_crash(folder: Path, tmp_path: Path) -> None:
    source = """
        struct Base { const void* (*get_api)(unsigned); const char* (*get_version)(void); };
        static const void* get_api(unsigned version) { return 0; }
        static const char* get_version(void) { return "1.2.0"; }
        static struct Base base = {get_api, get_version};
        struct Base* OrtGetApiBase(void) { return &base; }
    """
    library = tmp_path / "old.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=source, text=True, check=True)
    # AddressSanitizer wants to be the first library.
    asan = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout
    environment = {"LD_PRELOAD": f"{asan.strip()} {library}"}
    done = run("onnxruntime", "ganport-selftest", folder, environment=environment)
    require_refusal(done, "ONNX Runtime: the library is 1.2.0, the headers it was built with are of 1.")


@pytest.mark.parametrize("backend", BACKENDS)
def test_programs_end_cleanly_on_a_busy_machine(backend: str, folder: Path) -> None:
    """MXNet frees on threads of its own: a program that did not wait for them aborted in 1 of 5 such runs."""
    with ThreadPoolExecutor(BUSY) as pool:
        for done in pool.map(lambda _: run(backend, "ganport-selftest", "--threads", 2, folder), range(4 * BUSY)):
            assert (done.returncode, done.stderr) == (0, "")


def test_programs_are_built_with_the_sanitizers() -> None:
    """Else none of these tests would see what they look for."""
    for backend in BACKENDS:
        assert b"__asan_init" in (build(backend) / "ganport-selftest").read_bytes()
