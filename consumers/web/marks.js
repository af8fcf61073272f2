// @ts-check
/**
 * Strokes on a photo, and the mask and edge edits that they make. Nothing here needs a browser.
 *
 * @typedef {"hole" | "draw" | "erase" | "rub"} Tool
 *     hole: brush for what is to be filled; draw: green pen; erase: red pen; rub: takes marks away
 * @typedef {object} Stroke
 * @property {Tool} tool
 * @property {number} size Diameter in pixels of the photo, as shown.
 * @property {number[]} points x0, y0, x1, y1, ... in pixels of the photo; the upper left pixel is 0 to 1.
 * @typedef {object} Marks
 * @property {number} width
 * @property {number} height
 * @property {Uint8Array} mask 255 in the hole, 0 elsewhere.
 * @property {Int8Array} edits 1 draws an edge, -1 erases one, 0 leaves it.
 */

/** What each tool writes: into the mask, and into the edits. Undefined: it leaves what is there. */
const WRITES = {
    hole: { mask: 255, edits: undefined },
    draw: { mask: undefined, edits: 1 },
    erase: { mask: undefined, edits: -1 },
    rub: { mask: 0, edits: 0 },
};

/**
 * The marks of strokes, in their order.
 *
 * The green pen is shown thick and draws a line of one pixel, as the edges are that a net is trained on. The red pen
 * erases all that it is shown over: an edge is so thin that a thin line drawn by hand would miss it.
 *
 * @param {readonly Stroke[]} strokes
 * @param {number} width
 * @param {number} height
 * @returns {Marks}
 */
export function rasterize(strokes, width, height) {
    const mask = new Uint8Array(width * height);
    const edits = new Int8Array(width * height);
    for (const { tool, size, points } of strokes) {
        const value = WRITES[tool];
        /** @type {(row: number, first: number, last: number) => void} */
        const fill = (row, first, last) => {
            if (value.mask !== undefined) mask.fill(value.mask, row * width + first, row * width + last);
            if (value.edits !== undefined) edits.fill(value.edits, row * width + first, row * width + last);
        };
        for (let i = 0; i < points.length; i += 2) {
            const from = Math.max(0, i - 2);
            const segment = /** @type {const} */ ([points[from], points[from + 1], points[i], points[i + 1]]);
            if (tool === "draw") drawLine(segment, width, height, fill);
            else fillCapsule(segment, size / 2, width, height, fill);
        }
    }
    return { width, height, mask, edits };
}

/**
 * Every pixel whose centre is at most `radius` away from a segment; the pixel under its end always.
 *
 * @param {readonly [number, number, number, number]} segment
 * @param {number} radius
 * @param {number} width
 * @param {number} height
 * @param {(row: number, first: number, last: number) => void} fill Takes a row's pixels, without the last one.
 */
function fillCapsule([x0, y0, x1, y1], radius, width, height, fill) {
    const [dx, dy] = [x1 - x0, y1 - y0];
    const length = dx * dx + dy * dy;
    const top = Math.max(0, Math.floor(Math.min(y0, y1) - radius));
    const bottom = Math.min(height, Math.ceil(Math.max(y0, y1) + radius));
    const left = Math.max(0, Math.floor(Math.min(x0, x1) - radius));
    const right = Math.min(width, Math.ceil(Math.max(x0, x1) + radius));
    for (let row = top; row < bottom; row++) {
        // A capsule is convex: its pixels in a row are one run.
        let first = -1;
        let last = -1;
        for (let column = left; column < right; column++) {
            const [px, py] = [column + 0.5 - x0, row + 0.5 - y0];
            const share = length > 0 ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
            const [ex, ey] = [px - share * dx, py - share * dy];
            if (ex * ex + ey * ey <= radius * radius) {
                if (first < 0) first = column;
                last = column + 1;
            } else if (first >= 0) break;
        }
        if (first >= 0) fill(row, first, last);
    }
    const [column, row] = [Math.floor(x1), Math.floor(y1)];
    if (column >= 0 && column < width && row >= 0 && row < height) fill(row, column, column + 1);
}

/**
 * A line of one pixel's width, by Bresenham's rule; pixels outside the photo are left out.
 *
 * @param {readonly [number, number, number, number]} segment
 * @param {number} width
 * @param {number} height
 * @param {(row: number, first: number, last: number) => void} fill
 */
function drawLine(segment, width, height, fill) {
    let [x, y, endX, endY] = segment.map(Math.floor);
    const [dx, dy] = [Math.abs(endX - x), -Math.abs(endY - y)];
    const [stepX, stepY] = [x < endX ? 1 : -1, y < endY ? 1 : -1];
    let error = dx + dy;
    for (;;) {
        if (x >= 0 && x < width && y >= 0 && y < height) fill(y, x, x + 1);
        if (x === endX && y === endY) return;
        const twice = 2 * error;
        if (twice >= dy) {
            error += dy;
            x += stepX;
        }
        if (twice <= dx) {
            error += dx;
            y += stepY;
        }
    }
}

/** Strokes with undo and redo. */
export class History {
    /** @type {Stroke[][]} */
    #past = [];
    /** @type {Stroke[][]} */
    #future = [];
    /** @type {Stroke[]} */
    strokes = [];

    /** @param {Stroke} stroke */
    add(stroke) {
        this.#change([...this.strokes, stroke]);
    }

    /** Takes all strokes away; can be undone, too. */
    clear() {
        if (this.strokes.length > 0) this.#change([]);
    }

    /** Forgets everything: another photo. */
    reset() {
        [this.#past, this.#future, this.strokes] = [[], [], []];
    }

    undo() {
        const before = this.#past.pop();
        if (before === undefined) return;
        this.#future.push(this.strokes);
        this.strokes = before;
    }

    redo() {
        const after = this.#future.pop();
        if (after === undefined) return;
        this.#past.push(this.strokes);
        this.strokes = after;
    }

    get canUndo() {
        return this.#past.length > 0;
    }

    get canRedo() {
        return this.#future.length > 0;
    }

    /** @param {Stroke[]} strokes */
    #change(strokes) {
        this.#past.push(this.strokes);
        this.#future = [];
        this.strokes = strokes;
    }
}
