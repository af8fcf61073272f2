"""Gives thousands of damaged files to the real command and counts how it ends.

    python benchmarks/mutations.py --json benchmarks/results/mutations.json

Nothing may end in a traceback, hang, take more than 4 GB, write outside of -o, or end with 0 and a wrong result. What
nobody foresaw, and a crash of a library, are one line each and are counted apart. Cases that are at fault stay in the
folder that --keep names. With the same --seed the same files are made.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from parity_tests.support.mutation_run import Outcome, import_everything, prepare_bases, run_cases

COUNTS = {"images": 20_000, "ONNX files": 2_000, "checkpoints": 4_000, "bundles": 2_000, "manifests": 5_000}
# Told, and no failure of the run: one line of ours that names what happened.
TOLD = ("not foreseen", "crash")
PACKAGES = ("ganport", "torch", "onnx", "onnxruntime", "pillow", "safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the counts")
    parser.add_argument("--seed", type=int, default=0, help="of the first case of each kind")
    parser.add_argument("--cases", type=int, help=f"of each kind, instead of {COUNTS}")
    parser.add_argument("--kind", choices=COUNTS, action="append", help="one kind alone; repeatable")
    parser.add_argument("--keep", type=Path, help="folder for the cases that are at fault")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        root = args.keep or Path(scratch)
        (root / "bases").mkdir(parents=True, exist_ok=True)
        if not any((root / "bases").iterdir()):
            prepare_bases(root / "bases")
        kinds = {}
        for kind in args.kind or COUNTS:
            import_everything(kind)
            start, seeds = time.monotonic(), range(args.seed, args.seed + (args.cases or COUNTS[kind]))
            outcomes = list(run_cases(kind, seeds, root, args.jobs))
            kinds[kind] = summarize(outcomes, time.monotonic() - start)
            for outcome in outcomes:
                if outcome.faults:
                    print(f"{kind}, seed {outcome.seed}: {'; '.join(outcome.faults)}: {outcome.line}", flush=True)
            print(kind, json.dumps(kinds[kind]), flush=True)
    if args.json:
        environment = {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}
        record = {"seed": args.seed, "kinds": kinds, "environment": environment}
        args.json.write_text(json.dumps(record, indent=2) + "\n")
    sys.exit(any(kind["failures"] for kind in kinds.values()))


def summarize(outcomes: list[Outcome], seconds: float) -> dict[str, object]:
    faults = Counter(fault.splitlines()[-1] for outcome in outcomes for fault in outcome.faults)
    return {
        "cases": len(outcomes),
        "exit_codes": dict(sorted(Counter(str(outcome.exit_code) for outcome in outcomes).items())),
        "failures": sum(any(fault not in TOLD for fault in outcome.faults) for outcome in outcomes),
        "faults": dict(faults.most_common()),
        "slowest_s": round(max(outcome.seconds for outcome in outcomes), 1),
        "peak_mib": round(max(outcome.peak_mib for outcome in outcomes)),
        "seconds": round(seconds),
    }


if __name__ == "__main__":
    main()
