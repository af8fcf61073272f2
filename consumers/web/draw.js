// @ts-check
/**
 * What the canvases show. The marks are drawn at the screen's resolution, apart from what they write into the mask.
 *
 * @typedef {import("./marks.js").Stroke} Stroke
 * @typedef {import("./picture.js").Crop} Crop
 * @typedef {{crop: Crop, part: ImageBitmap, edges?: ImageBitmap | undefined}} Shown
 */

const COLORS = { hole: "#d4267e", draw: "#00e05a", erase: "#ff2a2a", rub: "#000" };
// A screen is hardly larger; the net gets the photo's own pixels.
const MAX_SIDE = 2048;

/**
 * @param {HTMLElement} element
 * @param {number} width
 * @param {number} height
 */
function prepare(element, width, height) {
    const canvas = /** @type {HTMLCanvasElement} */ (element);
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    return context;
}

/** @param {HTMLElement} element @returns {[number, number]} */
function measure(element) {
    const box = element.getBoundingClientRect();
    const ratio = globalThis.devicePixelRatio || 1;
    return [Math.max(1, Math.round(box.width * ratio)), Math.max(1, Math.round(box.height * ratio))];
}

/**
 * @param {HTMLElement} canvas
 * @param {ImageBitmap} photo
 * @param {Shown | undefined} result
 */
export function showPhoto(canvas, photo, result) {
    const scale = Math.min(1, MAX_SIDE / Math.max(photo.width, photo.height));
    const context = prepare(
        canvas,
        Math.max(1, Math.round(photo.width * scale)),
        Math.max(1, Math.round(photo.height * scale)),
    );
    context.scale(scale, scale);
    context.drawImage(photo, 0, 0);
    if (result) drawAt(context, result.part, result.crop);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {ImageBitmap} part
 * @param {Crop} crop
 */
function drawAt(context, part, { top, bottom, left, right }) {
    context.drawImage(part, left, top, right - left, bottom - top);
}

/**
 * @param {HTMLElement} holes
 * @param {HTMLElement} pens
 * @param {number} photoWidth
 * @param {readonly Stroke[]} strokes
 */
export function showMarks(holes, pens, photoWidth, strokes) {
    const [width, height] = measure(holes);
    const contexts = [prepare(holes, width, height), prepare(pens, width, height)];
    for (const [layer, context] of contexts.entries()) {
        context.scale(width / photoWidth, width / photoWidth);
        context.lineCap = context.lineJoin = "round";
        for (const stroke of strokes) {
            if (stroke.tool === "rub" || (stroke.tool === "hole") === (layer === 0)) drawStroke(context, stroke);
        }
    }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Stroke} stroke
 */
function drawStroke(context, { tool, size, points }) {
    context.globalCompositeOperation = tool === "rub" ? "destination-out" : "source-over";
    context.strokeStyle = COLORS[tool];
    context.lineWidth = size;
    context.beginPath();
    context.moveTo(points[0], points[1]);
    for (let i = 0; i < points.length; i += 2) context.lineTo(points[i], points[i + 1]);
    context.stroke();
}

/**
 * @param {HTMLElement} canvas
 * @param {ImageBitmap} photo
 * @param {Shown} result
 */
export function showEdges(canvas, photo, { crop, edges }) {
    const [width, height] = measure(canvas);
    const context = prepare(canvas, width, height);
    context.scale(width / photo.width, height / photo.height);
    if (edges) drawAt(context, edges, crop);
}
