// @ts-check
/**
 * The net: loads and checks the model, runs it, and makes the result's PNG file. All of it beside the page, which never waits.
 *
 * It is started as `worker.js?threads=N`, or `worker.js?gpu=1&threads=1` for the graphics card, which is then tried on the
 * bundle's golden case. It says `ready`, or `failed` with a sentence. Then it takes jobs, and answers each with `done` (the
 * part that changed) and `saved` (the whole result as a file), or with `refused`. Of jobs that wait, only the last one is run.
 *
 * @typedef {import("./marks.js").Stroke} Stroke
 * @typedef {import("./picture.js").Crop} Crop
 * @typedef {object} Job
 * @property {number} id
 * @property {Blob} photo
 * @property {Stroke[]} strokes
 * @property {number} limit The longest side that is run.
 * @typedef {{kind: "progress", text: string, share: number | undefined}
 *     | {kind: "ready", hasMask: boolean, hasEdits: boolean, name: string, license: string, threads: number, forGpu: boolean}
 *     | {kind: "failed", text: string, isRuntime: boolean}
 *     | {kind: "started", id: number, pixels: number}
 *     | {kind: "done", id: number, crop: Crop, part: ImageBitmap, edges: ImageBitmap | undefined, seconds: number}
 *     | {kind: "saved", id: number, png: Blob}
 *     | {kind: "refused", id: number, text: string, isRuntime: boolean}} Message
 *     forGpu: whether a graphics card can run the net
 *     isRuntime: ONNX Runtime failed, not this page
 * @typedef {typeof import("./ort/ort.wasm.min.mjs")} Ort
 */

import { findMiss, readArray } from "./golden.js";
import { rasterize } from "./marks.js";
import { fetchFile, fetchModel } from "./model.js";
import * as picture from "./picture.js";

const MAX_PIXELS = 40_000_000;
// Several threads that do not start within this time never will; one thread needs no such limit.
const START_MS = 60_000;
const MODEL = new URL("./model/", import.meta.url);

class RuntimeFailure extends Error {}

/**
 * What ONNX Runtime throws has long texts, some of them numbers of pointers.
 *
 * @template T
 * @param {string} what
 * @param {() => Promise<T>} act
 */
async function guard(what, act) {
    try {
        return await act();
    } catch (error) {
        throw new RuntimeFailure(`${what} (${error instanceof Error ? error.message : error}).`);
    }
}

/** @param {unknown} error */
const tell = (error) => ({
    text: error instanceof Error ? error.message : String(error),
    isRuntime: error instanceof RuntimeFailure,
});

/** @type {(message: Message, transfer?: Transferable[]) => void} */
const post = (message, transfer = []) => self.postMessage(message, { transfer });

/** @param {Blob} blob */
async function decode(blob) {
    const bitmap = await createImageBitmap(blob);
    const { width, height } = bitmap;
    if (width * height > MAX_PIXELS) {
        throw new Error(
            `The photo has ${Math.round((width * height) / 1e6)} million pixels; this page takes up to ${MAX_PIXELS / 1e6}.`,
        );
    }
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (
        new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })
    );
    // Transparent photos are filled in on white; the result has no transparency.
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    return { width, height, rgba: context.getImageData(0, 0, width, height).data };
}

/**
 * @param {Uint8ClampedArray<ArrayBuffer>} rgba
 * @param {number} width
 * @param {number} height
 */
async function encode(rgba, width, height) {
    const canvas = new OffscreenCanvas(width, height);
    /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(
        new ImageData(rgba, width, height),
        0,
        0,
    );
    return canvas.convertToBlob({ type: "image/png" });
}

/**
 * The session of a model, ready to run, and what its inputs are.
 *
 * @param {number} threads
 * @param {boolean} onGpu
 */
async function open(threads, onGpu) {
    /** @type {Ort} */
    const ort = await guard(
        "The runtime cannot be loaded",
        () => import(onGpu ? "./ort/ort.webgpu.min.mjs" : "./ort/ort.wasm.min.mjs"),
    );
    ort.env.wasm.numThreads = threads;
    if (threads > 1) ort.env.wasm.initTimeout = START_MS;
    ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
    const { manifest, model } = await fetchModel(MODEL, (text, share) => post({ kind: "progress", text, share }));
    const roles = picture.findRoles(manifest.contract);
    if (roles === undefined) {
        const names = manifest.contract.inputs.map((spec) => spec.name).join(", ");
        throw new Error(
            `This page shows nets that take a photo, with or without a mask and edge edits. ${manifest.name} takes ${names}.`,
        );
    }
    post({ kind: "progress", text: "Loading the net", share: undefined });
    const session = await guard("The net cannot be loaded", () =>
        ort.InferenceSession.create(model, { executionProviders: [onGpu ? "webgpu" : "wasm"] }),
    );
    if (onGpu) await tryGolden(ort, session, manifest);
    return { ort, manifest, roles, session };
}

/**
 * Throws if the session does not compute what the bundle's golden case tells.
 *
 * @param {Ort} ort
 * @param {import("./ort/ort.wasm.min.mjs").InferenceSession} session
 * @param {import("./model.js").Manifest} manifest
 */
async function tryGolden(ort, session, manifest) {
    post({ kind: "progress", text: "Trying the graphics card", share: undefined });
    /** @type {(kind: string, specs: picture.Spec[]) => Promise<import("./golden.js").Tensors>} */
    const read = async (kind, specs) => {
        const arrays = specs.map(async ({ name }) => [
            name,
            readArray(await fetchFile(MODEL, manifest, `golden/${kind}_${name}.npy`, () => {})),
        ]);
        return Object.fromEntries(await Promise.all(arrays));
    };
    const inputs = await read("input", manifest.contract.inputs);
    const expected = await read("output", manifest.contract.outputs);
    const feeds = manifest.contract.inputs.map(({ name, dtype }) => [
        name,
        new ort.Tensor(/** @type {any} */ (dtype), inputs[name].data, inputs[name].dims),
    ]);
    const outputs = await guard("It cannot run this net", () => session.run(Object.fromEntries(feeds)));
    const miss = findMiss(manifest, inputs, expected, /** @type {any} */ (outputs));
    if (miss) throw new RuntimeFailure(`It computes this net wrongly (${miss}).`);
}

const query = new URL(self.location.href).searchParams;
const threads = Number(query.get("threads")) || 1;
const opened = open(threads, query.has("gpu"));
opened.then(
    ({ manifest, roles }) => {
        const { name, license_note: license } = manifest;
        // Of ONNX Runtime's builds, the one for graphics cards holds no float64.
        const forGpu = manifest.artifacts.find(({ target }) => target === "onnx")?.precision === "float32";
        post({ kind: "ready", hasMask: !!roles.mask, hasEdits: !!roles.edits, name, license, threads, forGpu });
    },
    (error) => post({ kind: "failed", ...tell(error) }),
);

/** @param {Job} job */
async function run(job) {
    const { ort, manifest, roles, session } = await opened;
    const photo = await decode(job.photo);
    const { width, height } = photo;
    const marks = rasterize(job.strokes, width, height);
    const crop = roles.mask ? picture.chooseCrop(marks, job.limit) : { top: 0, bottom: height, left: 0, right: width };
    const plan = picture.planRun(crop, job.limit, roles.image, manifest.contract.static_size);
    post({ kind: "started", id: job.id, pixels: plan.paddedWidth * plan.paddedHeight });

    /** @type {[number, number]} */
    const cropSize = [crop.right - crop.left, crop.bottom - crop.top];
    /** @type {[number, number]} */
    const runSize = [plan.width, plan.height];
    const part = picture.resize(picture.cut(photo.rgba, width, 4, crop), cropSize, runSize);
    /** @type {Record<string, import("./ort/ort.wasm.min.mjs").Tensor>} */
    const feeds = {};
    const image = picture.toImageTensor(part, plan, roles.image);
    feeds[roles.image.name] = new ort.Tensor(/** @type {"uint8"} */ (roles.image.dtype), image.data, image.dims);
    for (const [spec, given] of /** @type {const} */ ([
        [roles.mask, marks.mask],
        [roles.edits, marks.edits],
    ])) {
        if (spec === undefined) continue;
        const small = picture.shrinkMarks(picture.cut(given, width, 1, crop), cropSize, runSize);
        const { data, dims } = picture.toMarkTensor(small, plan, spec);
        feeds[spec.name] = new ort.Tensor(/** @type {"uint8"} */ (spec.dtype), data, dims);
    }
    const began = performance.now();
    const outputs = await guard("The net failed, perhaps for want of memory", () => session.run(feeds));
    const seconds = (performance.now() - began) / 1000;

    const small = picture.fromTensor(/** @type {Uint8Array} */ (outputs[roles.result.name].data), plan, roles.result);
    let whole = small;
    let [wholeWidth, wholeHeight] = runSize;
    let shown = { rgba: small, size: runSize };
    if (roles.mask) {
        picture.paste(photo.rgba, marks, crop, picture.resize(small, runSize, cropSize));
        whole = photo.rgba;
        [wholeWidth, wholeHeight] = [width, height];
        shown = { rgba: picture.cut(photo.rgba, width, 4, crop), size: cropSize };
    }
    const bitmap = await createImageBitmap(new ImageData(shown.rgba, ...shown.size));
    let edges;
    if (roles.edges) {
        const map = picture.fromTensor(/** @type {Float32Array} */ (outputs[roles.edges.name].data), plan, roles.edges);
        edges = await createImageBitmap(new ImageData(map, ...runSize));
    }
    const transfer = edges ? [bitmap, edges] : [bitmap];
    post({ kind: "done", id: job.id, crop, part: bitmap, edges, seconds }, transfer);
    post({ kind: "saved", id: job.id, png: await encode(whole, wholeWidth, wholeHeight) });
}

/** @type {Job | undefined} */
let waiting;
let isRunning = false;

self.addEventListener("message", async (event) => {
    waiting = /** @type {Job} */ (event.data);
    if (isRunning) return;
    isRunning = true;
    while (waiting) {
        const job = waiting;
        waiting = undefined;
        try {
            await run(job);
        } catch (error) {
            post({ kind: "refused", id: job.id, ...tell(error) });
        }
    }
    isRunning = false;
});
