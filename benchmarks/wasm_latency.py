"""How long ONNX Runtime's WebAssembly build takes for a plain file and for tuned ones, in node, with one thread.

EdgeConnect's inpainting net of the published size, seeded weights, at 256x256; the files take the same photo in turn.
Needs node, and onnxruntime-web in build/web (`make build/web/tests.stamp`). Writes results/wasm_latency.json.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.tuned_file import write_files
from converters.bench.measure import read_environment
from converters.parity.inputs import make_input
from parity_tests.support.seeded_checkpoints import FULL_BASE, FULL_BLOCKS, write_checkpoint
from reference.checkpoint import read_checkpoint
from reference.registry import identify

ROOT = Path(__file__).parents[1]
RECORD = Path(__file__).parent / "results" / "wasm_latency.json"
SIDE, RUNS = 256, 5
RUN_IN_NODE = """
import fs from 'node:fs';
import { createRequire } from 'node:module';
const [root, folder, runs, ...names] = process.argv.slice(2);
const ort = createRequire(`${root}/build/web/here.js`)('onnxruntime-web');
ort.env.wasm.numThreads = 1;
const shapes = JSON.parse(fs.readFileSync(`${folder}/shapes.json`));
const feeds = {};
for (const [name, shape] of Object.entries(shapes)) {
  feeds[name] = new ort.Tensor('float32', new Float32Array(fs.readFileSync(`${folder}/${name}.bin`).buffer), shape);
}
const sessions = {}, loads = {}, latencies = {};
for (const name of names) {
  const start = performance.now();
  const options = { executionProviders: ['wasm'] };
  sessions[name] = await ort.InferenceSession.create(fs.readFileSync(`${folder}/${name}.onnx`), options);
  loads[name] = performance.now() - start;
  await sessions[name].run(feeds);
  latencies[name] = [];
}
for (let run = 0; run < Number(runs); run++) {
  for (const name of names) {
    const start = performance.now();
    await sessions[name].run(feeds);
    latencies[name].push(performance.now() - start);
  }
}
console.log(JSON.stringify({ version: ort.env.versions.common, loads, latencies }));
"""


def main() -> None:
    """Measure and record."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        checkpoint = write_checkpoint(folder, "inpaint", FULL_BASE, FULL_BLOCKS)
        files = write_files(checkpoint, folder)
        for name, file in files.items():
            file.rename(folder / f"{name}.onnx")
        given = make_input([("coffee", "large")], (SIDE, SIDE))
        read = read_checkpoint(checkpoint)
        feeds = identify(read).build(read).make_feeds(given.photo, given.edges, given.mask)
        for name, array in feeds.items():
            (folder / f"{name}.bin").write_bytes(np.ascontiguousarray(array).tobytes())
        (folder / "shapes.json").write_text(json.dumps({name: array.shape for name, array in feeds.items()}))
        (folder / "run.mjs").write_text(RUN_IN_NODE)
        command = ["node", str(folder / "run.mjs"), str(ROOT), str(folder), str(RUNS), *files]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    medians = {name: statistics.median(values) for name, values in found["latencies"].items()}
    rows = [
        {
            "file": name,
            "load_ms": found["loads"][name],
            "median_ms": median,
            "ratio": median / medians["plain"],
            "latencies_ms": found["latencies"][name],
        }
        for name, median in medians.items()
    ]
    record = {"environment": read_environment(1), "onnxruntime-web": found["version"], "side": SIDE, "files": rows}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    print(*(f"{row['file']}: {row['median_ms']:.0f} ms, {row['ratio']:.2f} of plain" for row in rows), sep="\n")


if __name__ == "__main__":
    main()
