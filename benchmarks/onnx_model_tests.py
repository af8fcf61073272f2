"""Converts onnx's own model tests and compares the files made of them with the outputs that onnx recorded.

    python benchmarks/onnx_model_tests.py --json benchmarks/results/onnx_model_tests.json

These are the files below backend/test/data in the onnx package: pytorch-operator, pytorch-converted, simple and light.
Each is converted with `--to onnx,mxnet`, judged on the inputs that come with it (`--inputs`), and then run on every
recorded case. A file's target passes if its outputs have the recorded shapes and element types and, within onnx's own
tolerances, the recorded values; it is refused if ganport says why it does not convert it; anything else is wrong.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.runner import Runner as OnnxTests

from benchmarks.mxnet_conformance import compare
from converters.bench.measure import read_environment
from converters.bundle.run_artifact import NotRun, run_artifact
from converters.convert import Conversion, Settings, convert
from converters.errors import GanportError
from converters.runners import Runner
from converters.sources.onnx_file import list_inputs, read_onnx
from converters.tensors import Array, Tensors

FOLDERS = ("pytorch-operator", "pytorch-converted", "simple", "light")
TARGETS = ("onnx", "mxnet")
PASSED, REFUSED, WRONG = "passed", "refused", "wrong"
# onnx's, for model tests.
RTOL, ATOL = 1e-3, 1e-7
THREADS = 2
DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"


@dataclass(frozen=True)
class ModelTest:
    """A file of onnx's, and its recorded cases: inputs and outputs, each in the order of the file's graph."""

    name: str
    path: Path
    cases: tuple[tuple[list[Array], list[Array]], ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a file on one target.

    Attributes:
        name: Folder and file.
        opset: The file's.
        target: "onnx" or "mxnet".
        verdict: "passed", "refused" or "wrong".
        reason: Why it is refused or wrong.
    """

    name: str
    opset: int
    target: str
    verdict: str
    reason: str = ""


def collect_tests() -> Iterator[ModelTest]:
    for folder in FOLDERS[:-1]:
        for path in sorted((DATA / folder).glob("*/model.onnx")):
            cases = tuple(
                (_read_arrays(case, "input"), _read_arrays(case, "output"))
                for case in sorted(path.parent.glob("test_data_set_*"))
            )
            yield ModelTest(f"{folder}/{path.parent.name}", path, cases)
    for path in sorted((DATA / FOLDERS[-1]).glob("*.onnx")):  # whose inputs onnx makes when it runs them
        inputs = [
            OnnxTests.generate_dummy_data(value, seed=0, name=path.stem) for value in list_inputs(onnx.load(path))
        ]
        outputs = [_read_array(file) for file in sorted(path.parent.glob(f"{path.stem}_output_*.pb"))]
        yield ModelTest(f"{FOLDERS[-1]}/{path.stem}", path, ((inputs, outputs),))


def _read_arrays(folder: Path, side: str) -> list[Array]:
    return [_read_array(folder / f"{side}_{i}.pb") for i in range(len(list(folder.glob(f"{side}_*.pb"))))]


def _read_array(path: Path) -> Array:
    return numpy_helper.to_array(onnx.load_tensor(str(path)))


def run_test(test: ModelTest, scratch: Path) -> list[Outcome]:
    """Convert a file and run what was made of it on its recorded cases."""
    opset = next(entry.version for entry in onnx.load(test.path).opset_import if entry.domain == "")
    try:
        file = read_onnx(test.path)
        names = [spec.name for spec in file.inputs]
        given = [value.name for value in file.model.graph.input]
        places = [given.index(file.renamed.get(name, name)) for name in names]
        cases = []
        for inputs, outputs in test.cases:
            feeds = dict(zip(names, (inputs[i] for i in places) if len(inputs) > len(names) else inputs, strict=True))
            cases.append((feeds, dict(zip((spec.name for spec in file.outputs), outputs, strict=True))))
        np.savez(scratch / "inputs.npz", **cases[0][0])  # type: ignore[arg-type]
        settings = Settings(TARGETS, scratch / "out", name="bundle", overwrite=True, inputs=scratch / "inputs.npz")
        (conversion,) = convert([test.path], settings, lambda step: None)
        return [_judge(test.name, opset, target, conversion, cases) for target in TARGETS]
    except GanportError as error:
        return [Outcome(test.name, opset, target, REFUSED, f"{error.met}. {error.remedy}") for target in TARGETS]
    except Exception as error:  # whatever is not refused in our words is wrong
        return [Outcome(test.name, opset, target, WRONG, f"{type(error).__name__}: {error}") for target in TARGETS]


def _judge(
    name: str, opset: int, target: str, conversion: Conversion, cases: list[tuple[dict[str, Array], dict[str, Array]]]
) -> Outcome:
    artifact = conversion.bundle.manifest.find_artifact(target)
    if artifact is None:
        return Outcome(name, opset, target, REFUSED, conversion.bundle.manifest.not_verified[target])

    def run(runner: Runner) -> list[str]:
        return [fault for feeds, expected in cases for fault in _find_faults(runner.run(feeds), expected)]

    faults = run_artifact(conversion.bundle, artifact, run)
    if isinstance(faults, NotRun):
        return Outcome(name, opset, target, WRONG, faults.why)
    return Outcome(name, opset, target, WRONG if faults else PASSED, "; ".join(faults))


def _find_faults(actual: Tensors, expected: Tensors) -> list[str]:
    faults = {name: compare(actual[name], array, RTOL, ATOL) for name, array in expected.items()}
    return [f"output '{name}': {fault}" for name, fault in faults.items() if fault]


def summarize(outcomes: list[Outcome]) -> dict[str, Any]:
    """The counts, in all and by folder, and every file that did not pass, by target."""
    summary = {}
    for target in TARGETS:
        ours = [outcome for outcome in outcomes if outcome.target == target]
        folders = {folder: [outcome for outcome in ours if outcome.name.startswith(f"{folder}/")] for folder in FOLDERS}
        summary[target] = {
            "files": len(ours),
            **_count(ours),
            "of them of an opset below 9": _count([outcome for outcome in ours if outcome.opset < 9]),
            "by_folder": {folder: _count(those) for folder, those in folders.items()},
            "not_passed": {o.name: f"{o.verdict}: {o.reason}" for o in ours if o.verdict != PASSED},
        }
    return summary


def _count(outcomes: list[Outcome]) -> dict[str, int]:
    counts = Counter(outcome.verdict for outcome in outcomes)
    return {verdict: counts[verdict] for verdict in (PASSED, REFUSED, WRONG)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--only", default="", help="files with this word in their name")
    args = parser.parse_args()
    began, outcomes = time.monotonic(), []
    warnings.simplefilter("ignore")
    for test in collect_tests():
        if args.only in test.name:
            with tempfile.TemporaryDirectory() as scratch:
                outcomes += run_test(test, Path(scratch))
            print(*(f"{outcome.target} {outcome.verdict} {outcome.reason}" for outcome in outcomes[-2:]), test.name)
    summary = summarize(outcomes)
    print({target: _count([outcome for outcome in outcomes if outcome.target == target]) for target in TARGETS})
    if args.json is not None:
        document = {"seconds": round(time.monotonic() - began), "environment": read_environment(THREADS), **summary}
        args.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 1 if any(outcome.verdict == WRONG for outcome in outcomes) else 0


if __name__ == "__main__":
    raise SystemExit(main())
