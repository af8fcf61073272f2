// @ts-check
/**
 * What a photo goes through before and after a net: the part that is run, its scale, tensors. Nothing here needs a browser.
 *
 * @typedef {import("./marks.js").Marks} Marks
 * @typedef {{top: number, bottom: number, left: number, right: number}} Crop Without the last row and column.
 * @typedef {object} Spec An input or output, as a bundle's manifest tells it.
 * @property {string} name
 * @property {string} dtype
 * @property {(string | number)[]} shape
 * @property {string} layout
 * @property {[number, number] | null} value_range
 * @property {number} multiple_of
 * @property {number} minimum
 * @typedef {object} Contract
 * @property {Spec[]} inputs
 * @property {Spec[]} outputs
 * @property {[number, number] | null} static_size
 * @typedef {object} Roles Which input and output is what.
 * @property {Spec} image
 * @property {Spec | undefined} mask
 * @property {Spec | undefined} edits
 * @property {Spec} result
 * @property {Spec | undefined} edges What the net was given as edges, where it tells.
 * @typedef {object} Plan How a part of a photo is run.
 * @property {Crop} crop
 * @property {number} width Of the picture that is run, the crop scaled.
 * @property {number} height
 * @property {number} paddedWidth With the net's multiple: the last column and row repeated.
 * @property {number} paddedHeight
 */

// Around the hole: this share of its larger side, but at least so many pixels; as `ganport inpaint` does.
const CONTEXT = 0.5;
const LEAST_CONTEXT = 128;

/**
 * Told by the shape: what was imported from an ONNX file tells no layout.
 *
 * @param {Spec} spec
 * @returns {number} Channels of a picture, 1 of marks; 0 for what is neither.
 */
function countChannels({ dtype, shape }) {
    if (shape.length === 3) return 1; // NHW
    const channels = dtype === "uint8" ? shape[3] : shape[1]; // NHWC, NCHW
    return shape.length === 4 && typeof channels === "number" ? channels : 0;
}

/**
 * Whether this page knows what the numbers of a picture mean: bytes, or floats of a known range.
 *
 * @param {Spec} spec
 */
function isPicture(spec) {
    const isKnown = spec.dtype === "uint8" || (spec.dtype === "float32" && spec.value_range !== null);
    return isKnown && spec.shape.length === 4 && [1, 3].includes(countChannels(spec));
}

/**
 * Which input is the photo, which the mask and the edits; undefined where this page cannot show such a net.
 *
 * @param {Contract} contract
 * @returns {Roles | undefined}
 */
export function findRoles({ inputs, outputs }) {
    const edits = inputs.find((spec) => spec.dtype === "int8" && countChannels(spec) === 1);
    const others = inputs.filter((spec) => spec !== edits);
    const image = others.length === 1 ? others[0] : others.find((spec) => countChannels(spec) === 3);
    const mask = others.find((spec) => spec !== image && countChannels(spec) === 1);
    if (image === undefined || !isPicture(image) || inputs.length !== [image, mask, edits].filter(Boolean).length)
        return undefined;
    // A net that does not clamp its picture tells no range: what lies beyond the photo's is clamped here.
    const given = outputs.map((spec) => ({ ...spec, value_range: spec.value_range ?? image.value_range }));
    const result = given.find((spec) => isPicture(spec) && (given.length === 1 || countChannels(spec) === 3));
    if (result === undefined || (edits && !mask)) return undefined;
    const edges =
        edits && given.find((spec) => spec !== result && spec.dtype === "float32" && countChannels(spec) === 1);
    return { image, mask, edits, result, edges };
}

/**
 * The part of a photo that is given to the net: all of a small photo, of a large one the hole with what is around it.
 *
 * @param {Marks} marks
 * @param {number} limit The longest side that is run.
 * @returns {Crop}
 */
export function chooseCrop({ width, height, mask, edits }, limit) {
    const whole = { top: 0, bottom: height, left: 0, right: width };
    if (Math.max(width, height) <= limit) return whole;
    let [top, bottom, left, right] = [height, -1, width, -1];
    for (let row = 0, i = 0; row < height; row++) {
        for (let column = 0; column < width; column++, i++) {
            if (mask[i] === 0 && edits[i] === 0) continue;
            if (row < top) top = row;
            bottom = row;
            if (column < left) left = column;
            if (column > right) right = column;
        }
    }
    if (bottom < 0) return whole;
    const context = Math.max(LEAST_CONTEXT, Math.round(CONTEXT * Math.max(bottom - top, right - left)));
    return {
        top: Math.max(0, top - context),
        bottom: Math.min(height, bottom + 1 + context),
        left: Math.max(0, left - context),
        right: Math.min(width, right + 1 + context),
    };
}

/**
 * @param {Crop} crop
 * @param {number} limit The longest side that is run.
 * @param {Spec} image The net's input.
 * @param {[number, number] | null} staticSize (H, W) of a net that takes no other.
 * @returns {Plan}
 */
export function planRun(crop, limit, image, staticSize) {
    const [cropHeight, cropWidth] = [crop.bottom - crop.top, crop.right - crop.left];
    const [maxHeight, maxWidth] = staticSize ?? [limit, limit];
    const scale = Math.min(1, maxHeight / cropHeight, maxWidth / cropWidth);
    const width = Math.max(1, Math.round(cropWidth * scale));
    const height = Math.max(1, Math.round(cropHeight * scale));
    /** @type {(size: number) => number} */
    const pad = (size) => Math.ceil(Math.max(size, image.minimum) / image.multiple_of) * image.multiple_of;
    const [paddedHeight, paddedWidth] = staticSize ?? [pad(height), pad(width)];
    return { crop, width, height, paddedWidth, paddedHeight };
}

/**
 * A rectangle of a picture of interleaved channels.
 *
 * @template {Uint8Array | Uint8ClampedArray | Int8Array} T
 * @param {T} data
 * @param {number} width Of the picture.
 * @param {number} channels
 * @param {Crop} crop
 * @returns {T}
 */
export function cut(data, width, channels, { top, bottom, left, right }) {
    const row = (right - left) * channels;
    const Kind = /** @type {new (length: number) => T} */ (data.constructor);
    const part = new Kind((bottom - top) * row);
    for (let y = top; y < bottom; y++) {
        const start = (y * width + left) * channels;
        part.set(data.subarray(start, start + row), (y - top) * row);
    }
    return part;
}

/**
 * A smaller picture, each pixel the mean of the area that it covers; or a larger one, between its pixels.
 *
 * @param {Uint8ClampedArray} rgba
 * @param {[number, number]} from Width and height.
 * @param {[number, number]} to Width and height.
 * @returns {Uint8ClampedArray}
 */
export function resize(rgba, [fromWidth, fromHeight], [toWidth, toHeight]) {
    if (fromWidth === toWidth && fromHeight === toHeight) return rgba;
    const columns = weigh(fromWidth, toWidth);
    const wide = new Float32Array(toWidth * fromHeight * 4);
    for (let y = 0; y < fromHeight; y++) {
        for (let x = 0; x < toWidth; x++) {
            for (const [source, weight] of columns[x]) {
                for (let c = 0; c < 4; c++) {
                    wide[(y * toWidth + x) * 4 + c] += weight * rgba[(y * fromWidth + source) * 4 + c];
                }
            }
        }
    }
    const rows = weigh(fromHeight, toHeight);
    const sums = new Float32Array(toWidth * toHeight * 4);
    const stride = toWidth * 4;
    for (let y = 0; y < toHeight; y++) {
        for (const [source, weight] of rows[y]) {
            for (let i = 0; i < stride; i++) sums[y * stride + i] += weight * wide[source * stride + i];
        }
    }
    return Uint8ClampedArray.from(sums); // rounds half to even
}

/**
 * For each new pixel of a row, the old pixels and their weights: a triangle as wide as the coarser of the two grids.
 *
 * @param {number} from
 * @param {number} to
 * @returns {[number, number][][]}
 */
function weigh(from, to) {
    const scale = from / to;
    const reach = Math.max(1, scale);
    return Array.from({ length: to }, (_, x) => {
        const centre = (x + 0.5) * scale;
        /** @type {[number, number][]} */
        const found = [];
        let sum = 0;
        for (let i = Math.max(0, Math.floor(centre - reach)); i < Math.min(from, Math.ceil(centre + reach)); i++) {
            const weight = 1 - Math.abs(i + 0.5 - centre) / reach;
            if (weight > 0) {
                found.push([i, weight]);
                sum += weight;
            }
        }
        return found.map(([i, weight]) => [i, weight / sum]);
    });
}

/**
 * Smaller marks, in which nothing that was marked is lost: of the pixels that one covers, the strongest mark counts.
 *
 * @template {Uint8Array | Int8Array} T
 * @param {T} marks
 * @param {[number, number]} from Width and height.
 * @param {[number, number]} to Width and height, at most as large.
 * @returns {T}
 */
export function shrinkMarks(marks, [fromWidth, fromHeight], [toWidth, toHeight]) {
    if (fromWidth === toWidth && fromHeight === toHeight) return marks;
    const Kind = /** @type {new (length: number) => T} */ (marks.constructor);
    const small = new Kind(toWidth * toHeight);
    for (let y = 0; y < fromHeight; y++) {
        const row = Math.floor((y * toHeight) / fromHeight) * toWidth;
        for (let x = 0; x < fromWidth; x++) {
            const mark = marks[y * fromWidth + x];
            const i = row + Math.floor((x * toWidth) / fromWidth);
            // A drawn edge wins over an erased one.
            if (mark !== 0 && (small[i] === 0 || mark > small[i])) small[i] = mark;
        }
    }
    return small;
}

/**
 * @param {Plan} plan
 * @returns {Int32Array} For each padded pixel, the index of the pixel that it shows.
 */
function listSources({ width, height, paddedWidth, paddedHeight }) {
    const sources = new Int32Array(paddedWidth * paddedHeight);
    for (let y = 0, i = 0; y < paddedHeight; y++) {
        for (let x = 0; x < paddedWidth; x++) sources[i++] = Math.min(y, height - 1) * width + Math.min(x, width - 1);
    }
    return sources;
}

/**
 * @param {Uint8ClampedArray} rgba Of the plan's width and height.
 * @param {Plan} plan
 * @param {Spec} spec
 * @returns {{data: Uint8Array | Float32Array, dims: number[]}}
 */
export function toImageTensor(rgba, plan, spec) {
    const sources = listSources(plan);
    const count = sources.length;
    const channels = countChannels(spec);
    const [low, high] = spec.value_range ?? [0, 1];
    const size = [plan.paddedHeight, plan.paddedWidth];
    if (spec.dtype === "uint8") {
        const data = new Uint8Array(count * channels);
        for (let i = 0; i < count; i++) {
            for (let c = 0; c < channels; c++) data[i * channels + c] = rgba[sources[i] * 4 + c];
        }
        return { data, dims: [1, ...size, channels] };
    }
    const data = new Float32Array(count * channels);
    for (let i = 0; i < count; i++) {
        const at = sources[i] * 4;
        if (channels === 1) {
            // ITU-R 601, as common programs make gray of colours.
            const gray = 0.299 * rgba[at] + 0.587 * rgba[at + 1] + 0.114 * rgba[at + 2];
            data[i] = low + (gray / 255) * (high - low);
        } else {
            for (let c = 0; c < channels; c++) data[c * count + i] = low + (rgba[at + c] / 255) * (high - low);
        }
    }
    return { data, dims: [1, channels, ...size] };
}

/**
 * @param {Uint8Array | Int8Array} marks Of the plan's width and height.
 * @param {Plan} plan
 * @param {Spec} spec
 * @returns {{data: Uint8Array | Int8Array | Float32Array, dims: number[]}}
 */
export function toMarkTensor(marks, plan, spec) {
    const sources = listSources(plan);
    const size = [plan.paddedHeight, plan.paddedWidth];
    const dims = spec.shape.length === 3 ? [1, ...size] : [1, 1, ...size];
    /** @type {(source: number) => number} */
    const read = (source) => marks[source];
    if (spec.dtype === "int8") return { data: Int8Array.from(sources, read), dims };
    if (spec.dtype === "uint8") return { data: Uint8Array.from(sources, read), dims };
    return { data: Float32Array.from(sources, (source) => (marks[source] > 0 ? 1 : 0)), dims };
}

/**
 * A picture of the plan's width and height from a net's output.
 *
 * @param {ArrayLike<number>} data
 * @param {Plan} plan
 * @param {Spec} spec
 * @returns {Uint8ClampedArray<ArrayBuffer>} RGBA.
 */
export function fromTensor(data, { width, height, paddedWidth, paddedHeight }, spec) {
    const channels = countChannels(spec);
    const count = paddedWidth * paddedHeight;
    const [low, high] = spec.value_range ?? [0, 1];
    const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
    for (let y = 0, to = 0; y < height; y++) {
        for (let x = 0; x < width; x++, to += 4) {
            const at = y * paddedWidth + x;
            for (let c = 0; c < 3; c++) {
                const channel = Math.min(c, channels - 1);
                if (spec.dtype === "uint8") rgba[to + c] = data[at * channels + channel];
                else rgba[to + c] = ((data[channel * count + at] - low) / (high - low)) * 255; // rounds half to even
            }
        }
    }
    return rgba;
}

/**
 * Put a part back into its photo, in the hole only.
 *
 * @param {Uint8ClampedArray} photo RGBA, changed.
 * @param {Marks} marks
 * @param {Crop} crop
 * @param {Uint8ClampedArray} part RGBA of the crop's size.
 */
export function paste(photo, { width, mask }, { top, bottom, left, right }, part) {
    for (let y = top, from = 0; y < bottom; y++) {
        for (let x = left; x < right; x++, from += 4) {
            const at = y * width + x;
            if (mask[at] === 0) continue;
            for (let c = 0; c < 4; c++) photo[at * 4 + c] = part[from + c];
        }
    }
}
