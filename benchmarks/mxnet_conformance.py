"""Runs onnx's own node tests through the MXNet writer, in real mxnet, and counts what passes, is refused, is wrong.

    python benchmarks/mxnet_conformance.py --json benchmarks/results/mxnet_conformance.json

A case passes if MXNet gives every output with ONNX's shape, element type and, within the case's own rtol and atol,
ONNX's values. MXNet has no bool and no rank 0: those outputs are uint8, 0 or 1, and of shape (1,), and are compared as
`MxnetRunner` gives them back. Refused: the writer says why before it writes anything. Wrong: everything else, crashes
too.

Many cases feed as graph inputs what a symbol must know before it runs: target shapes, axes, pads. Such a case is
refused as it stands; where the refusal names graph inputs, it is tried again with their arrays as initializers, as
exporters write them, and counted apart.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

from converters.errors import UnsupportedOpError
from converters.targets.mxnet.runtime import MxnetRunner, load_mxnet
from converters.targets.mxnet.write import convert_to_mxnet
from converters.tensors import Array, TensorSpec

NOT_CONSTANT = re.compile(r"'([^']*)' is (?:an input of the model|computed in the graph)")
PASSED, PASSED_WITH_CONSTANTS, REFUSED, WRONG = "passed", "passed with constants", "refused", "wrong"
# A case that takes longer hangs.
LIMIT_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        op: What it tests: an operator, or the expansion of one.
        verdict: One of the four.
        reason: Why it is refused or wrong.
        met: The refusal's, without names, to count by.
        constants: Graph inputs that were made initializers.
    """

    name: str
    op: str
    verdict: str
    reason: str = ""
    met: str = ""
    constants: tuple[str, ...] = ()


def collect_cases() -> list[Any]:
    """onnx's node tests, in order."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(collect_testcases(None))


def run_case(case: Any, folder: Path) -> Outcome:
    """Convert one case and compare each of its data sets."""
    op = name_op(case)
    model, constants = case.model, []
    while True:
        try:
            files = convert_to_mxnet(model)
            break
        except UnsupportedOpError as error:
            named = NOT_CONSTANT.search(error.met)
            name = named.group(1) if named else ""
            given = [value.name for value in model.graph.input]
            if name not in given or name in constants or len(case.data_sets) != 1:
                return Outcome(case.name, op, REFUSED, str(error), blank(error.met), tuple(constants))
            constants.append(name)
            model = fix_input(model, name, case.data_sets[0][0][given_index(case.model, name)])
    (folder / "m-symbol.json").write_text(files.symbol_json)
    (folder / "m-0000.params").write_bytes(files.params)
    for inputs, outputs in case.data_sets:
        names = [value.name for value in case.model.graph.input]
        feeds = {name: to_array(array) for name, array in zip(names, inputs, strict=True) if name not in constants}
        kinds = [spec_of(name, array) for name, array in feeds.items()]
        expected = {value.name: to_array(y) for value, y in zip(model.graph.output, outputs, strict=True)}
        specs = [spec_of(name, array) for name, array in expected.items()]
        with MxnetRunner(folder / "m-symbol.json", folder / "m-0000.params", kinds, specs) as runner:
            actual = runner.run(feeds)
        for name, array in expected.items():
            fault = compare(actual[name], array, case.rtol, case.atol)
            if fault:
                return Outcome(case.name, op, WRONG, f"output '{name}': {fault}", "", tuple(constants))
    return Outcome(case.name, op, PASSED_WITH_CONSTANTS if constants else PASSED, constants=tuple(constants))


def compare(actual: Array, expected: Array, rtol: float, atol: float) -> str:
    """What is wrong with an output, or nothing."""
    if actual.dtype != expected.dtype:
        return f"it is {actual.dtype}, not {expected.dtype}"
    if actual.shape != expected.shape:
        return f"its shape is {actual.shape}, not {expected.shape}"
    if expected.dtype.kind == "f":
        close = np.isclose(actual.astype(np.float64), expected.astype(np.float64), rtol=rtol, atol=atol, equal_nan=True)
    else:
        close = actual == expected
    if close.all():
        return ""
    worst = np.unravel_index(int(np.argmin(close)), close.shape)
    count, at = int((~close).sum()), tuple(map(int, worst))
    return f"{count} of {close.size} differ, first at {at}: {actual[worst]} for {expected[worst]}"


def spec_of(name: str, array: Array) -> TensorSpec:
    return TensorSpec(name, array.shape, array.dtype.name, "", None, "")


def fix_input(model: ModelProto, name: str, array: Array) -> ModelProto:
    """A copy in which a graph input is an initializer."""
    fixed = ModelProto()
    fixed.CopyFrom(model)
    kept = [value for value in model.graph.input if value.name != name]
    del fixed.graph.input[:]
    fixed.graph.input.extend(kept)
    fixed.graph.initializer.append(numpy_helper.from_array(to_array(array), name))
    return fixed


def to_array(given: Any) -> Array:
    return numpy_helper.to_array(given) if isinstance(given, onnx.TensorProto) else np.asarray(given)


def given_index(model: ModelProto, name: str) -> int:
    return [value.name for value in model.graph.input].index(name)


def name_op(case: Any) -> str:
    """The operator that a case is about; "... expanded" for the functions that ONNX defines it by."""
    nodes = case.model.graph.node
    if "_expanded" in case.name:
        prefix = next((node.output[0] for node in nodes if "_test_" in node.output[0]), "")
        return f"{prefix.split('_test_')[0] or nodes[-1].op_type} expanded"
    counts = Counter(node.op_type for node in nodes)
    return nodes[0].op_type if len(nodes) == 1 else counts.most_common(1)[0][0]


def blank(met: str) -> str:
    """A refusal's reason without the names and numbers of its case."""
    return re.sub(r"-?\d+(\.\d+)?", "#", re.sub(r"'[^']*'", "'...'", met)).split(": ")[0]


def work(cases: Sequence[Any], pipe: Connection) -> None:
    """Run the cases whose numbers come through the pipe."""
    load_mxnet()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        while (number := pipe.recv()) is not None:
            case = cases[number]
            try:
                outcome = run_case(case, Path(folder))
            except Exception as error:  # any other failure is a wrong case
                reason = f"{type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error).strip() else ''}"
                outcome = Outcome(case.name, name_op(case), WRONG, reason[:300])
            pipe.send(outcome)


def run_all(cases: Sequence[Any], jobs: int, show: bool) -> list[Outcome]:
    """Run each case in one of `jobs` processes; one that dies is a wrong case, and another takes its place."""
    context = multiprocessing.get_context("fork")
    waiting = list(range(len(cases)))[::-1]
    outcomes: dict[int, Outcome] = {}
    workers: dict[Connection, tuple[Any, int, float]] = {}

    def start() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(cases, theirs), daemon=True)
        process.start()
        theirs.close()
        give(ours, process)

    def give(pipe: Connection, process: Any) -> None:
        if waiting:
            number = waiting.pop()
            pipe.send(number)
            workers[pipe] = (process, number, time.monotonic())
        else:
            with contextlib.suppress(OSError):
                pipe.send(None)
            process.join()

    for _ in range(min(jobs, len(waiting))):
        start()
    while workers:
        ready = wait(list(workers), timeout=1.0)
        for pipe in list(workers):
            process, number, began = workers[pipe]
            if pipe in ready:
                del workers[pipe]
                try:
                    outcomes[number] = pipe.recv()
                    give(pipe, process)
                    continue
                except (EOFError, ConnectionResetError):
                    process.join()
                    reason = f"the process died ({process.exitcode})"
            elif time.monotonic() - began > LIMIT_S:
                del workers[pipe]
                process.kill()
                process.join()
                reason = f"it ran for more than {LIMIT_S:.0f} s"
            else:
                continue
            outcomes[number] = Outcome(cases[number].name, name_op(cases[number]), WRONG, reason)
            if waiting:
                start()
        if show:
            print(f"\r{len(outcomes)} of {len(cases)}", end="", file=sys.stderr, flush=True)
    if show:
        print(file=sys.stderr)
    return [outcomes[number] for number in range(len(cases))]


def summarize(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts, by verdict, operator and reason, and the names of all that did not simply pass."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    by_op: dict[str, Counter[str]] = {}
    by_reason: dict[str, list[str]] = {}
    for outcome in outcomes:
        by_op.setdefault(outcome.op, Counter())[outcome.verdict] += 1
        if outcome.verdict == REFUSED:
            by_reason.setdefault(outcome.met, []).append(outcome.name)
    refused_by_op = Counter({op: verdicts[REFUSED] for op, verdicts in by_op.items() if verdicts[REFUSED]})
    return {
        "cases": len(outcomes),
        "counts": {verdict: counts[verdict] for verdict in (PASSED, PASSED_WITH_CONSTANTS, REFUSED, WRONG)},
        "refused_by_op": dict(refused_by_op.most_common()),
        "refused_by_reason": dict(sorted(by_reason.items(), key=lambda item: -len(item[1]))),
        "by_op": {op: dict(by_op[op]) for op in sorted(by_op)},
        PASSED_WITH_CONSTANTS: {o.name: o.constants for o in outcomes if o.verdict == PASSED_WITH_CONSTANTS},
        WRONG: {outcome.name: outcome.reason for outcome in outcomes if outcome.verdict == WRONG},
    }


def read_environment() -> dict[str, str]:
    packages = {name: version(name) for name in ("onnx", "mxnet", "numpy")}
    return {"python": platform.python_version(), "machine": platform.machine(), **packages}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases with this word in their name")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, default=None, help="where to write the results")
    parser.add_argument("--list", action="store_true", help="print each case that does not pass")
    arguments = parser.parse_args()
    began = time.monotonic()
    cases = [case for case in collect_cases() if arguments.only in case.name]
    outcomes = run_all(cases, arguments.jobs, sys.stderr.isatty())
    summary = summarize(outcomes)
    if arguments.list:
        for outcome in outcomes:
            if outcome.verdict in (REFUSED, WRONG):
                print(f"{outcome.verdict:8} {outcome.name}: {outcome.reason}")
    print(json.dumps({key: summary[key] for key in ("cases", "counts")}))
    print(f"{time.monotonic() - began:.0f} s")
    if arguments.json is not None:
        document = {"environment": read_environment(), **summary}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if summary["counts"][WRONG] else 0


if __name__ == "__main__":
    sys.exit(main())
