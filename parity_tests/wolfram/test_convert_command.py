"""`--to wolfram`: what it brings with it, what it needs, what it refuses, and that nobody claims to have checked it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from converters.convert import Conversion
from converters.errors import UnrunnableError
from converters.parity.gates import GATES
from converters.targets.registry import TARGETS, with_companions
from converters.targets.wolfram import weights as wolfram_weights
from converters.tensors import Signature
from parity_tests.support.command import list_tree, remembered_exports, run_ganport
from parity_tests.support.mathics import quote

UNCHECKED = "written, numbers not checked: no Mathematica kernel here has run it"
FILES = ("{}.wl", "{}-weights.wxf", "{}-check.wl", "PacletInfo.wl")


@pytest.fixture(autouse=True)
def _quick_exports() -> Iterator[None]:
    with remembered_exports():
        yield


def test_onnx_and_mxnet_come_with_it_and_are_proven(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    result = run_ganport("convert", checkpoints["inpaint"], "--to", "wolfram", "-o", tmp_path, "--json")
    assert result.exit_code == 0, result.stderr
    (bundle,) = json.loads(result.stdout)["bundles"]
    artifacts = {artifact["target"]: artifact for artifact in bundle["artifacts"]}
    assert list(artifacts) == ["onnx", "mxnet", "wolfram"]
    assert artifacts["onnx"]["verified"]
    assert bundle["not_verified"]["wolfram"] == UNCHECKED
    assert not artifacts["wolfram"]["verified"]
    assert artifacts["wolfram"]["parity"] is None

    name = "edgeconnect-inpaint"
    folder = tmp_path / name
    assert artifacts["wolfram"]["files"] == [*(file.format(name) for file in FILES), "EdgeConnectInpaint.wl"]
    check = (folder / f"{name}-check.wl").read_text()
    for route in ("onnx", "mxnet"):
        for file in artifacts[route]["files"]:
            assert quote(file) in check
    for path in (folder / "golden").iterdir():
        assert quote(path.name) in check
    readme = (folder / "README.md").read_text()
    assert f"| wolfram | {UNCHECKED} |" in readme
    assert "**No Wolfram kernel has run these files.**" in readme
    assert "RunEdgeconnectInpaint[image, edges, mask]" in readme
    assert 'EdgeConnectInpaint[photo, mask, "Model" -> {' in readme
    assert "It needs version 11.3 of the language." in readme
    files = json.loads((folder / "manifest.json").read_text())["files"]
    assert [files[file.format(name)]["format"] for file in FILES] == [
        "Wolfram Language",
        "WXF",
        "Wolfram Language",
        "Wolfram Language",
    ]


@pytest.mark.parametrize("options", [["--raw"], ["--size", "32x48"]])
def test_net_that_takes_no_photo_of_any_size_comes_without_the_program_from_photo_to_photo(
    options: list[str], checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    result = run_ganport("convert", checkpoints["inpaint"], "--to", "wolfram", "-o", tmp_path, *options)
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "edgeconnect-inpaint"
    assert not (folder / "EdgeConnectInpaint.wl").exists()
    readme = (folder / "README.md").read_text()
    assert "EdgeConnectInpaint[" not in readme
    assert ("RunEdgeconnectInpaint[" in readme) == (options[0] == "--size")


def test_verify_says_that_nobody_has_run_it(conversions: Mapping[str, Conversion]) -> None:
    result = run_ganport("verify", conversions["edge"].bundle.folder)
    assert result.exit_code == 0
    assert f"wolfram: {UNCHECKED}" in result.stdout.splitlines()


@pytest.mark.parametrize(
    ("named", "written"),
    [
        (("onnx",), ("onnx",)),
        (("wolfram",), ("onnx", "mxnet", "wolfram")),
        (("wolfram", "trt", "onnx"), ("onnx", "mxnet", "trt", "wolfram")),
    ],
)
def test_targets_beside_one_are_written_once_and_in_order(named: tuple[str, ...], written: tuple[str, ...]) -> None:
    assert with_companions(named) == written


def test_pipeline_is_refused_with_the_reason_and_nothing_is_written(tmp_path: Path) -> None:
    result = run_ganport("convert", "--pipeline", "--to", "wolfram", "-o", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("ganport: --pipeline --to wolfram: a NetGraph has no loop")
    assert "Leave wolfram out of --to, or convert the nets by themselves, without --pipeline." in result.stderr
    assert list_tree(tmp_path) == {}


def test_without_wolframclient_nothing_is_written(
    checkpoints: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(wolfram_weights, "import_module", missing)
    result = run_ganport("convert", checkpoints["edge"], "--to", "wolfram", "-o", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith("ganport: --to wolfram: wolframclient is not installed. It needs")
    assert list_tree(tmp_path) == {}
    assert "  here: wolframclient is not installed" in run_ganport("formats").stdout.splitlines()


def test_opening_it_says_what_to_run_instead() -> None:
    target = TARGETS["wolfram"]
    assert target.gate in GATES
    paths = [Path(file.format("any")) for file in FILES]
    with pytest.raises(UnrunnableError, match=r"no Mathematica kernel runs it here.*wolframscript -file any-check\.wl"):
        target.open(paths, Signature((), ()))
