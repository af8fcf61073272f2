"""How long MXNet takes for a net's plain pair and for its tuned one, against a literal translation of the same graph.

    python benchmarks/mxnet_latency.py [--runs 7] [--size 256x256 --size 512x512]
    DNNL_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell python benchmarks/mxnet_latency.py

EdgeConnect's two nets of the published size with seeded weights. The three pairs take the same photo in turn, with two
threads. The second line stands in for a processor without AVX-512, in MXNet's convolutions and products. Writes
results/mxnet_latency.json, where both are kept side by side. Needs the extra mxnet.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import click

from benchmarks.cpu_latency import LITERAL_MXNET, THREADS, Run, measure, write_literal_mxnet
from converters.bench.measure import read_environment
from converters.convert import Settings, convert
from converters.onnx_graph.simplify import simplify
from converters.parity.inputs import make_input
from converters.runners import TorchRunner
from converters.sources.export_torch import export_onnx
from converters.sources.spectral_norm import fold_spectral_norm
from converters.targets.mxnet.runtime import MxnetRunner
from converters.tensors import Tensors
from converters.terminal.options import read_size
from parity_tests.support.seeded_checkpoints import FULL_BASE, FULL_BLOCKS, NETS, write_checkpoint
from reference.checkpoint import read_checkpoint
from reference.registry import identify

RESULTS = Path(__file__).parent / "results" / "mxnet_latency.json"
PLAIN, TUNED = "ganport", "ganport --tune cpu"


def measure_net(path: Path, folder: Path, sizes: tuple[tuple[int, int], ...], runs: int) -> list[dict[str, object]]:
    """One net's rows."""
    checkpoint = read_checkpoint(path)
    model = identify(checkpoint).build(checkpoint)
    pairs = {}
    for name, tune in ((PLAIN, False), (TUNED, True)):
        (made,) = convert([path], Settings(("mxnet",), folder / str(tune), tune=tune), print)
        bundle = made.bundle.folder
        pairs[name] = (bundle / f"{bundle.name}-symbol.json", bundle / f"{bundle.name}-0000.params")
    pairs[LITERAL_MXNET] = write_literal_mxnet(simplify(export_onnx(model, fold_spectral_norm(model.module))), folder)
    (output,) = (spec.name for spec in model.outputs)
    exact = TorchRunner(identify(checkpoint).build(checkpoint).module.double(), model.inputs, model.outputs)
    runners = {name: MxnetRunner(*files, model.inputs, model.outputs) for name, files in pairs.items()}

    def open_on(runner: MxnetRunner, feeds: Tensors) -> Run:
        return lambda: runner.run(feeds)[output]

    rows: list[dict[str, object]] = []
    for size in sizes:
        given = make_input([("coffee", "large")], size)
        feeds = model.make_feeds(given.photo, given.edges, given.mask)
        contestants = {name: open_on(runner, feeds) for name, runner in runners.items()}
        measured = measure(contestants, exact.run(feeds)[output], runs)
        literal = float(str(measured[LITERAL_MXNET]["median_ms"]))
        ratios = {name: float(str(measured[name]["median_ms"])) / literal for name in (PLAIN, TUNED)}
        rows.append({"net": model.architecture, "size": list(size), "of_literal": ratios, "pairs": measured})
        print(model.architecture, size, {name: round(ratio, 2) for name, ratio in ratios.items()}, f"{literal:.0f} ms")
    return rows


@click.command()
@click.option("--runs", default=7, show_default=True)
@click.option("--size", "sizes", type=read_size, multiple=True, default=["256x256", "512x512"], show_default=True)
def main(runs: int, sizes: tuple[tuple[int, int], ...]) -> None:
    """Measure and record."""
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    isa = os.environ.get("DNNL_MAX_CPU_ISA", "what the processor has")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for net in NETS:
            path = write_checkpoint(Path(scratch), net, FULL_BASE, FULL_BLOCKS)
            rows += measure_net(path, Path(scratch), sizes, runs)
    records = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    records[isa] = {
        "environment": read_environment(THREADS),
        "openblas": os.environ.get("OPENBLAS_CORETYPE", "what the processor has"),
        "runs": runs,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main()
