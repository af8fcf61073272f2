// @ts-check
/**
 * The bundle's golden case, judged as `ganport verify` does. The page asks a graphics card for it before it trusts the
 * card with photos. Nothing here needs a browser.
 *
 * @typedef {import("./model.js").Manifest} Manifest
 * @typedef {{max_abs: number | null, p99_9: number | null, psnr_db: number | null}} Gate The largest errors allowed.
 * @typedef {{known: string | null, gate: string | null, relative: boolean}} Policy How an output is judged.
 *     known: the input whose pixels outside the hole must come back; then only the hole is judged
 *     gate: the output's own; null is the file's
 *     relative: errors are in units of the largest expected magnitude
 * @typedef {Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer> | Int8Array<ArrayBuffer>} Data
 * @typedef {{data: Data, dims: number[]}} Tensor
 * @typedef {Record<string, Tensor>} Tensors By the name of the input or output.
 */

// The smallest unit of relative errors, as in `ganport verify`.
const MIN_UNIT = 0.05;
/** Largest values of the types that outputs have. @type {Record<string, number>} */
const PEAKS = { float32: 1, uint8: 255 };
const KINDS = { "<f4": Float32Array, "|u1": Uint8Array, "|i1": Int8Array };

/**
 * An array of NumPy's format 1.0, in C order.
 *
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Tensor}
 */
export function readArray(bytes) {
    const start = 10 + bytes[8] + 256 * bytes[9];
    const header = new TextDecoder().decode(bytes.subarray(10, start));
    const kind = /'descr': '([^']+)'/.exec(header)?.[1] ?? "";
    const shape = /'shape': \(([^)]*)\)/.exec(header)?.[1];
    if (!(kind in KINDS) || shape === undefined || !header.includes("'fortran_order': False")) {
        throw new Error(`the golden case is of another kind than this page reads: ${header.trim()}`);
    }
    const Kind = KINDS[/** @type {keyof KINDS} */ (kind)];
    const data = new Kind(bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + bytes.length));
    return {
        data,
        dims: shape
            .split(",")
            .filter((part) => part.trim())
            .map(Number),
    };
}

/**
 * The first limit that the outputs miss, in words; undefined if they hold all.
 *
 * @param {Manifest} manifest
 * @param {Tensors} inputs
 * @param {Tensors} expected
 * @param {Tensors} actual
 */
export function findMiss({ contract, artifacts, gates, judging }, inputs, expected, actual) {
    const fileGate = artifacts.find(({ target }) => target === "onnx")?.gate ?? "onnx";
    for (const { name, dtype, layout } of contract.outputs) {
        const { known, gate, relative } = judging[name] ?? { known: null, gate: null, relative: false };
        const [wanted, found] = [expected[name], actual[name]];
        if (!found || String(found.dims) !== String(wanted.dims)) return `${name}: another shape`;
        const hole = known === null ? undefined : { mask: inputs.mask, image: inputs[known].data };
        const whole = relative ? Math.min(1, findLargest(wanted.data)) : 0;
        const items = wanted.dims[0] ?? 1;
        const size = wanted.data.length / items;
        for (let first = 0; first < wanted.data.length; first += size) {
            const own = wanted.data.subarray(first, first + size);
            const unit = relative ? Math.max(findLargest(own), whole, MIN_UNIT) : 1;
            /** @type {number[]} */
            const errors = [];
            for (let i = first; i < first + size; i++) {
                if (hole && !isInHole(hole.mask, wanted, layout, i)) {
                    if (found.data[i] !== hole.image[i]) return `${name}: known pixels do not come back`;
                } else errors.push(Math.abs(found.data[i] - wanted.data[i]) / unit);
            }
            const miss = errors.length > 0 && measure(errors, PEAKS[dtype], gates[gate ?? fileGate]);
            if (miss) return `${name}: ${miss}`;
        }
    }
    return undefined;
}

/** @param {Data} data */
function findLargest(data) {
    let largest = 0;
    for (const value of data) largest = Math.max(largest, Math.abs(value));
    return largest;
}

/**
 * Whether an element of a picture lies under a mask, which has one channel or no axis of channels.
 *
 * @param {Tensor} mask
 * @param {Tensor} picture
 * @param {string} layout
 * @param {number} i
 */
function isInHole(mask, picture, layout, i) {
    const channels = picture.data.length / mask.data.length;
    if (layout === "NHWC") return mask.data[Math.floor(i / channels)] > 0;
    const plane = mask.data.length / mask.dims[0];
    return mask.data[Math.floor(i / (channels * plane)) * plane + (i % plane)] > 0;
}

/**
 * @param {number[]} errors NaN where a value is none.
 * @param {number} peak
 * @param {Gate} gate
 */
function measure(errors, peak, gate) {
    const sorted = Float64Array.from(errors, (error) => (Number.isFinite(error) ? error : Infinity)).sort();
    const largest = sorted[sorted.length - 1];
    const high = sorted[Math.ceil(0.999 * sorted.length) - 1];
    const psnr = -10 * Math.log10(sorted.reduce((sum, error) => sum + (error / peak) ** 2, 0) / sorted.length);
    // Written so that a NaN misses.
    if (gate.max_abs !== null && !(largest <= gate.max_abs)) {
        return `max abs error ${largest.toExponential(1)}, allowed ${gate.max_abs.toExponential(0)}`;
    }
    if (gate.p99_9 !== null && !(high <= gate.p99_9)) {
        return `99.9th percentile ${high.toExponential(1)}, allowed ${gate.p99_9.toExponential(0)}`;
    }
    if (gate.psnr_db !== null && !(psnr >= gate.psnr_db)) {
        return `PSNR ${psnr.toFixed(1)} dB, required ${gate.psnr_db}`;
    }
    return undefined;
}
