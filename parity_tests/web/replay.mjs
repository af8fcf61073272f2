/**
 * Run a bundle's golden case in the plain WebAssembly build, in node: node replay.mjs ORT_FOLDER BUNDLE OUT
 *
 * Writes OUT/NAME.bin for each output, and OUT/shapes.json.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [ortFolder, bundle, out] = process.argv.slice(2);
const ort = await import(pathToFileURL(join(ortFolder, "ort.wasm.min.mjs")).href);
ort.env.wasm.numThreads = 1;

const KINDS = { "<f4": Float32Array, "|u1": Uint8Array, "|i1": Int8Array };

/** An array of NumPy's format 1.0, in C order. */
function readArray(path) {
    const bytes = readFileSync(path);
    const start = 10 + bytes.readUInt16LE(8);
    const header = bytes.toString("latin1", 10, start);
    const Kind = KINDS[header.match(/'descr': '([^']+)'/)[1]];
    if (!header.includes("'fortran_order': False")) throw new Error(`${path}: Fortran order`);
    const dims = header
        .match(/'shape': \(([^)]*)\)/)[1]
        .split(",")
        .filter((part) => part.trim())
        .map(Number);
    return { data: new Kind(bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + bytes.length)), dims };
}

const manifest = JSON.parse(readFileSync(join(bundle, "manifest.json"), "utf-8"));
const [file] = manifest.artifacts.find(({ target }) => target === "onnx").files;
const session = await ort.InferenceSession.create(new Uint8Array(readFileSync(join(bundle, file))), {
    executionProviders: ["wasm"],
});
const feeds = {};
for (const { name, dtype } of manifest.contract.inputs) {
    const { data, dims } = readArray(join(bundle, "golden", `input_${name}.npy`));
    feeds[name] = new ort.Tensor(dtype, data, dims);
}
const outputs = await session.run(feeds);
const shapes = {};
for (const [name, { data, dims, type }] of Object.entries(outputs)) {
    writeFileSync(join(out, `${name}.bin`), new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    shapes[name] = { dims, type };
}
writeFileSync(join(out, "shapes.json"), JSON.stringify(shapes));
