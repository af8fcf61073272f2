"""A bundle's README says what its numbers are of and in, for every kind of record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from converters.bundle.manifest import ContractRecord, Manifest
from converters.bundle.readme import format_readme
from converters.bundle.record import make_manifest
from converters.parity.report import format_parity
from converters.targets.target import Artifact
from converters.targets.wolfram.syntax import make_variables
from converters.tensors import TensorSpec
from parity_tests.support.architecture_cases import CASES
from parity_tests.support.command import run_ganport
from parity_tests.support.foreign_models import make_model, write_model
from reference.checkpoint import read_checkpoint
from reference.registry import identify

UNIT = ", errors in units of an output's largest value:"
WITH_HOLE = ("aot-gan", "deepfill-v2", "edgeconnect-inpaint", "lama", "mi-gan", "partial-conv")
RELATIVE = (
    *(("mi-gan", False), ("mi-gan", True)),
    *(("partial-conv", False), ("partial-conv", True), ("style-transfer", True)),
)


def describe(name: str, raw: bool, folder: Path) -> Manifest:
    """Of a small net, as if it had been converted to nothing."""
    (case,) = (case for case in CASES if case.name == name)
    checkpoint = read_checkpoint(case.write(folder))
    model = identify(checkpoint).build(checkpoint, raw)
    return make_manifest(name, [checkpoint], name, "", model, (), {}, raw=raw)


@pytest.mark.parametrize("raw", [False, True], ids=["whole", "raw"])
@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_readme_speaks_of_holes_and_of_units_where_there_are_such(name: str, raw: bool, tmp_path: Path) -> None:
    readme = format_readme(describe(name, raw, tmp_path), ())
    assert ("| hole PSNR, dB |" in readme) == (name in WITH_HOLE and not raw)
    assert ("| PSNR, dB |" in readme) == (name not in WITH_HOLE or raw)
    assert (f"Held to the untouched torch module{UNIT}" in readme) == ((name, raw) in RELATIVE)
    assert ("units" in readme) == ((name, raw) in RELATIVE)
    assert f"`{name}`{', the bare generator' if raw else ''}, ported from `" in readme


def test_every_report_says_which_errors_are_in_units_of_a_largest_value() -> None:
    text = " ".join(format_parity((), (), {}).split())
    assert "(partial-conv's, and style-transfer's of `--raw`;" in text
    assert "in units of its largest value" in text


DETAILS = {"function": "BuildNet", "run": "RunNet", "version": 11.3}
ARTIFACT = Artifact("wolfram", "float32", "mxnet", ("net.wl", "net.wxf", "check.wl"), details=DETAILS)


def describe_wolfram(ports: dict[str, int], folder: Path) -> str:
    """The README's part on Mathematica, lines joined: input ports of these channels and an output `y` of 3."""
    specs = [TensorSpec(name, ("N", channels, "H", "W")) for name, channels in ports.items()]
    output = TensorSpec("y", ("N", 3, "H", "W"))
    manifest = replace(
        describe("edgeconnect-edge", False, folder),
        contract=ContractRecord(tuple(specs), (output,), None),
        artifacts=(ARTIFACT,),
        not_verified={"wolfram": "not run"},
    )
    return " ".join(format_readme(manifest, ()).partition("## Build the net in Mathematica")[2].split())


def test_variables_of_the_wolfram_language_are_letters_and_digits_and_no_symbols_of_its_own(tmp_path: Path) -> None:
    names = ["img_0", "img0", "N", "net", "0", "Image_2_x", "é", "width"]
    variables = make_variables(names)
    assert variables == ["img0", "img0v2", "n", "netv2", "x0", "image2x", "x", "widthv2"]
    assert 'net[<|"img_0" -> img0, "x" -> x|>]' in describe_wolfram({"img_0": 3, "x": 1}, tmp_path)


@pytest.mark.parametrize(
    ("ports", "said"),
    [
        ({"x": 1}, "Inputs, of that size, and output are images; with"),
        (
            {"x": 4},
            'What has 1 or 3 channels is an image, or with `"Ports" -> "Arrays"` an array; `x`: an array {',
        ),
        ({"x": 4, "z": 1, "v": 2}, "an array; `x`, `v`: arrays {channels, height, width}, the axis N left out."),
    ],
)
def test_readme_calls_images_only_what_has_their_channels(ports: dict[str, int], said: str, tmp_path: Path) -> None:
    assert said in describe_wolfram(ports, tmp_path)


RUNTIMES = ("## ONNX Runtime", "## OpenVINO", "## MXNet 1.9.1")
CPP_RUNTIMES = {"float": RUNTIMES, "uint8": RUNTIMES[:2], "int64": RUNTIMES[:2], "bool": RUNTIMES[:2], "int16": ()}


@pytest.mark.parametrize("kind", CPP_RUNTIMES)
def test_bundle_has_lines_for_cpp_only_where_its_types_are_known_there(kind: str, tmp_path: Path) -> None:
    path = write_model(tmp_path, make_model(17, "y = Identity(x)", None, f"({kind}[N, 3] x) => ({kind}[N, 3] y)"))
    done = run_ganport("convert", path, "--to", "onnx,mxnet", "-o", tmp_path / "out")
    assert done.exit_code == (1 if kind == "int16" else 0), done.stderr  # which MXNet lacks
    readme = tmp_path / "out" / "net" / "cpp" / "README.md"
    found = [line for line in readme.read_text().splitlines() if line.startswith("## ")] if readme.exists() else []
    assert [line for line in found if line != "## In your own program"] == list(CPP_RUNTIMES[kind])
