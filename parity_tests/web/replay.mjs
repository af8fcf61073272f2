/**
 * Run a bundle's golden case in the plain WebAssembly build, in node: node replay.mjs ORT_FOLDER BUNDLE OUT
 *
 * Writes OUT/NAME.bin for each output, and OUT/shapes.json.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { readArray } from "../../consumers/web/golden.js";

const [ortFolder, bundle, out] = process.argv.slice(2);
const ort = await import(pathToFileURL(join(ortFolder, "ort.wasm.min.mjs")).href);
ort.env.wasm.numThreads = 1;

const manifest = JSON.parse(readFileSync(join(bundle, "manifest.json"), "utf-8"));
const [file] = manifest.artifacts.find(({ target }) => target === "onnx").files;
const session = await ort.InferenceSession.create(new Uint8Array(readFileSync(join(bundle, file))), {
    executionProviders: ["wasm"],
});
const feeds = {};
for (const { name, dtype } of manifest.contract.inputs) {
    const { data, dims } = readArray(readFileSync(join(bundle, "golden", `input_${name}.npy`)));
    feeds[name] = new ort.Tensor(dtype, data, dims);
}
const outputs = await session.run(feeds);
const shapes = {};
for (const [name, { data, dims, type }] of Object.entries(outputs)) {
    writeFileSync(join(out, `${name}.bin`), new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    shapes[name] = { dims, type };
}
writeFileSync(join(out, "shapes.json"), JSON.stringify(shapes));
