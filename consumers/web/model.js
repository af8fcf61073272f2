// @ts-check
/**
 * The bundle's manifest and its ONNX file, checked against the manifest's hash, and kept for the next visit.
 *
 * @typedef {object} Manifest
 * @property {string} name
 * @property {string} license_note
 * @property {import("./picture.js").Contract} contract
 * @property {{target: string, files: string[], precision: string, gate: string}[]} artifacts
 * @property {Record<string, import("./golden.js").Gate>} gates
 * @property {Record<string, import("./golden.js").Policy>} judging
 * @property {Record<string, {sha256: string, size: number}>} files
 * @typedef {(text: string, share: number | undefined) => void} Report
 */

const CACHE = "ganport-models";

/**
 * @param {URL} folder Where manifest.json lies, with a slash at its end.
 * @param {Report} report
 */
export async function fetchModel(folder, report) {
    const answer = await fetch(new URL("manifest.json", folder), { cache: "no-cache" });
    if (!answer.ok) throw new Error(`model/manifest.json cannot be read: the server answers ${answer.status}.`);
    /** @type {Manifest} */
    let manifest;
    try {
        manifest = await answer.json();
    } catch {
        throw new Error("model/manifest.json is damaged. Write the page again with `ganport consumers web`.");
    }
    const file = manifest.artifacts.find((artifact) => artifact.target === "onnx")?.files[0];
    if (file === undefined)
        throw new Error(`The bundle ${manifest.name} holds no ONNX file. Convert it with --to onnx.`);
    const { sha256 } = manifest.files[file];
    const key = `${new URL(file, folder)}?sha256=${sha256}`;
    const kept = await readKept(key);
    if (kept && (await hash(kept)) === sha256) return { manifest, model: kept };
    const model = await fetchFile(folder, manifest, file, report);
    await keep(key, model);
    return { manifest, model };
}

/**
 * A file of the bundle, compared with the manifest's hash.
 *
 * @param {URL} folder
 * @param {Manifest} manifest
 * @param {string} file
 * @param {Report} report
 */
export async function fetchFile(folder, manifest, file, report) {
    const { sha256, size } = manifest.files[file];
    const bytes = await download(new URL(file, folder), file, size, report);
    if (bytes.length < size) {
        throw new Error(`${file} has ${bytes.length} of ${size} bytes: the download was cut short.`);
    }
    if ((await hash(bytes)) !== sha256) {
        throw new Error(
            `${file} is not the file that its manifest tells of (SHA-256). Write the page again with \`ganport consumers web\`.`,
        );
    }
    return bytes;
}

/**
 * @param {URL} url
 * @param {string} file
 * @param {number} size
 * @param {Report} report
 */
async function download(url, file, size, report) {
    const answer = await fetch(url, { cache: "no-store" });
    if (!answer.ok || answer.body === null)
        throw new Error(`${file} cannot be read: the server answers ${answer.status}.`);
    /** @type {Uint8Array[]} */
    const chunks = [];
    let length = 0;
    const reader = answer.body.getReader();
    for (;;) {
        let chunk;
        try {
            chunk = await reader.read();
        } catch {
            break; // The connection ended early: told by the size.
        }
        if (chunk.done) break;
        chunks.push(chunk.value);
        length += chunk.value.length;
        report(
            `Downloading the net: ${(length / 2 ** 20).toFixed(1)} of ${(size / 2 ** 20).toFixed(1)} MiB`,
            length / size,
        );
    }
    const model = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) {
        model.set(chunk, at);
        at += chunk.length;
    }
    return model;
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
async function hash(bytes) {
    // Browsers offer this on https and on localhost only.
    if (globalThis.crypto?.subtle === undefined) {
        throw new Error("The browser checks the net's file only on https, or on localhost. Open the page there.");
    }
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string} key */
async function readKept(key) {
    try {
        const kept = await (await caches.open(CACHE)).match(key);
        return kept && new Uint8Array(await kept.arrayBuffer());
    } catch {
        return undefined; // No cache here, or a private window: the file is downloaded each time.
    }
}

/**
 * @param {string} key
 * @param {Uint8Array<ArrayBuffer>} model
 */
async function keep(key, model) {
    try {
        const cache = await caches.open(CACHE);
        for (const old of await cache.keys()) await cache.delete(old);
        await cache.put(key, new Response(model));
    } catch {
        // Too little space, or no cache here: the file stays in memory only.
    }
}
