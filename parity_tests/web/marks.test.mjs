/** Of marks.js, picture.js and net.js, without a browser: node --test parity_tests/web/ */
import assert from "node:assert/strict";
import { test } from "node:test";
import { History, rasterize } from "../../consumers/web/marks.js";
import { Net } from "../../consumers/web/net.js";
import * as picture from "../../consumers/web/picture.js";

/** Rows of characters, one a pixel. */
const draw = (array, width, characters) =>
    Array.from({ length: array.length / width }, (_, y) =>
        Array.from(array.subarray(y * width, (y + 1) * width), (v) => characters[v]).join(""),
    );

test("a tap of the brush is a disc, and stays in the photo", () => {
    const { mask, edits } = rasterize([{ tool: "hole", size: 4, points: [1, 1] }], 5, 4);
    assert.deepEqual(draw(mask, 5, { 0: ".", 255: "#" }), ["###..", "###..", "##...", "....."]);
    assert.ok(edits.every((edit) => edit === 0));
});

test("a brush thinner than a pixel marks the pixel under it", () => {
    const { mask } = rasterize([{ tool: "hole", size: 0.1, points: [2.9, 1.1] }], 4, 3);
    assert.deepEqual(draw(mask, 4, { 0: ".", 255: "#" }), ["....", "..#.", "...."]);
});

test("the green pen draws one pixel, however thick it is shown", () => {
    const { edits, mask } = rasterize([{ tool: "draw", size: 40, points: [0.5, 0.5, 4.5, 2.5, 4.5, 4.5] }], 5, 5);
    assert.deepEqual(draw(edits, 5, { 0: ".", 1: "+", "-1": "-" }), ["+....", ".++..", "...++", "....+", "....+"]);
    assert.ok(mask.every((value) => value === 0));
});

test("later strokes win: the red pen over the green one, the eraser over all", () => {
    const strokes = [
        { tool: "hole", size: 2, points: [0, 1.5, 6, 1.5] },
        { tool: "draw", size: 9, points: [0.5, 1.5, 5.5, 1.5] },
        { tool: "erase", size: 1, points: [2.5, 1.5, 3.5, 1.5] },
        { tool: "rub", size: 1, points: [5.5, 1.5] },
    ];
    const { mask, edits } = rasterize(strokes, 6, 3);
    assert.equal(draw(edits, 6, { 0: ".", 1: "+", "-1": "-" })[1], "++--+.");
    assert.equal(draw(mask, 6, { 0: ".", 255: "#" })[1], "#####.");
});

test("strokes beyond the photo mark nothing outside of it", () => {
    const far = [-50, -50, 60, 70, 1000, 3];
    for (const tool of ["hole", "draw", "erase", "rub"]) {
        const { mask, edits } = rasterize([{ tool, size: 5, points: far }], 8, 8);
        assert.equal(mask.length + edits.length, 128);
    }
});

test("undo and redo go through every change, clearing included; a new stroke ends redo", () => {
    const history = new History();
    const [a, b, c] = ["hole", "draw", "erase"].map((tool) => ({ tool, size: 1, points: [0, 0] }));
    history.add(a);
    history.add(b);
    history.clear();
    history.undo();
    assert.deepEqual(history.strokes, [a, b]);
    history.undo();
    assert.deepEqual(history.strokes, [a]);
    history.redo();
    assert.deepEqual(history.strokes, [a, b]);
    history.add(c);
    assert.equal(history.canRedo, false);
    history.undo();
    history.undo();
    history.undo();
    assert.equal(history.canUndo, false);
    assert.deepEqual(history.strokes, []);
});

const float = (name, channels, value_range = [0, 1]) => ({
    name,
    dtype: "float32",
    shape: ["N", channels, "H", "W"],
    value_range,
    multiple_of: 8,
    minimum: 8,
});
const photo = {
    name: "p",
    dtype: "uint8",
    shape: ["N", "H", "W", 3],
    value_range: [0, 255],
    multiple_of: 1,
    minimum: 12,
};
const edits = { name: "e", dtype: "int8", shape: ["N", "H", "W"], value_range: [-1, 1], multiple_of: 1, minimum: 12 };

test("what a net takes is told by its contract", () => {
    const mask = { ...edits, name: "m", dtype: "uint8" };
    const pipeline = picture.findRoles({ inputs: [photo, mask, edits], outputs: [photo, float("edges", 1)] });
    assert.deepEqual([pipeline.mask.name, pipeline.edits.name, pipeline.edges.name], ["m", "e", "edges"]);
    const brush = picture.findRoles({ inputs: [float("m", 1), float("i", 3)], outputs: [float("r", 3)] });
    assert.deepEqual([brush.image.name, brush.mask.name, brush.edits], ["i", "m", undefined]);
    assert.equal(picture.findRoles({ inputs: [float("x", 1)], outputs: [float("y", 3)] }).image.name, "x");
    assert.equal(
        picture.findRoles({ inputs: [float("i", 3), float("e", 1), float("m", 1)], outputs: [float("r", 3)] }),
        undefined,
    );
    const made = picture.findRoles({ inputs: [photo], outputs: [{ ...photo, name: "result" }, float("plane", 1)] });
    assert.deepEqual([made.image.name, made.result.name, made.mask, made.edges], ["p", "result", undefined, undefined]);
    const filled = picture.findRoles({ inputs: [photo, mask], outputs: [photo, float("plane", 3)] });
    assert.deepEqual([filled.mask.name, filled.result.dtype, filled.edges], ["m", "uint8", undefined]);
    const unclamped = picture.findRoles({ inputs: [float("x", 3, [0, 255])], outputs: [float("y", 3, null)] });
    assert.deepEqual(unclamped.result.value_range, [0, 255]);
    assert.equal(picture.findRoles({ inputs: [float("x", 3, null)], outputs: [float("y", 3)] }), undefined);
    assert.equal(picture.findRoles({ inputs: [float("x", 7)], outputs: [float("y", 3)] }), undefined);
});

test("a small photo is run whole, of a large one the marks with what is around them", () => {
    const marks = rasterize([{ tool: "hole", size: 2, points: [500, 300] }], 1000, 600);
    assert.deepEqual(picture.chooseCrop(marks, 1000), { top: 0, bottom: 600, left: 0, right: 1000 });
    assert.deepEqual(picture.chooseCrop(marks, 512), { top: 171, bottom: 429, left: 371, right: 629 });
    marks.edits[0] = 1; // a pen's stroke belongs to it, too
    assert.deepEqual(picture.chooseCrop(marks, 512), { top: 0, bottom: 301 + 250, left: 0, right: 501 + 250 });
});

test("what is too large for a run is scaled, what does not fit the multiple padded", () => {
    const crop = { top: 10, bottom: 410, left: 0, right: 1000 };
    assert.deepEqual(picture.planRun(crop, 500, float("i", 3), null), {
        crop,
        width: 500,
        height: 200,
        paddedWidth: 504,
        paddedHeight: 200,
    });
    assert.deepEqual(picture.planRun(crop, 500, float("i", 3), [64, 80]), {
        crop,
        width: 80,
        height: 32,
        paddedWidth: 80,
        paddedHeight: 64,
    });
});

test("a picture comes back from its tensor, in both layouts, padded or not", () => {
    const rgba = Uint8ClampedArray.from({ length: 5 * 3 * 4 }, (_, i) => (i % 4 === 3 ? 255 : (i * 37) % 256));
    const plan = {
        crop: { top: 0, bottom: 3, left: 0, right: 5 },
        width: 5,
        height: 3,
        paddedWidth: 8,
        paddedHeight: 8,
    };
    for (const spec of [photo, float("i", 3), float("i", 3, [-1, 1])]) {
        const { data, dims } = picture.toImageTensor(rgba, plan, spec);
        assert.equal(
            dims.reduce((a, b) => a * b),
            data.length,
        );
        assert.deepEqual(picture.fromTensor(data, plan, spec), rgba);
    }
});

test("halves are rounded to even, and what is out of range is clamped", () => {
    const plan = { crop: {}, width: 4, height: 1, paddedWidth: 4, paddedHeight: 1 };
    const shown = picture.fromTensor([0.5 / 255, 1.5 / 255, -1, 2], plan, float("r", 1));
    assert.deepEqual(Array.from(shown.filter((_, i) => i % 4 === 0)), [0, 2, 0, 255]);
});

test("a flat picture stays flat at every size, and a smaller one holds the mean", () => {
    const flat = new Uint8ClampedArray(7 * 5 * 4).fill(91);
    for (const to of [
        [3, 2],
        [7, 5],
        [20, 11],
    ])
        assert.ok(picture.resize(flat, [7, 5], to).every((value) => value === 91));
    const halves = Uint8ClampedArray.from({ length: 8 * 4 }, (_, i) => (i < 16 ? 0 : 200));
    const [left, right] = picture.resize(halves, [8, 1], [2, 1]).filter((_, i) => i % 4 === 0);
    assert.ok(left < 50 && right > 150 && left + right === 200);
});

test("smaller marks lose none", () => {
    const marks = new Int8Array(9 * 9);
    marks[4 * 9 + 7] = -1;
    marks[4 * 9 + 1] = -1;
    marks[4 * 9 + 2] = 1;
    assert.deepEqual(draw(picture.shrinkMarks(marks, [9, 9], [3, 3]), 3, { 0: ".", 1: "+", "-1": "-" }), [
        "...",
        "+.-",
        "...",
    ]);
});

test("a part is put back in the hole only", () => {
    const into = new Uint8ClampedArray(3 * 2 * 4).fill(9);
    const marks = { width: 3, height: 2, mask: Uint8Array.of(255, 255, 0, 0, 255, 255), edits: new Int8Array(6) };
    picture.paste(into, marks, { top: 0, bottom: 2, left: 1, right: 3 }, new Uint8ClampedArray(16).fill(1));
    assert.deepEqual(Array.from(into.filter((_, i) => i % 4 === 0)), [9, 1, 9, 9, 1, 1]);
});

/** A worker that says what a test tells it to say. */
class FakeWorker extends EventTarget {
    static made = [];
    sent = [];
    constructor(url) {
        super();
        this.threads = Number(url.split("threads=")[1]);
        this.onGpu = url.includes("gpu=1");
        FakeWorker.made.push(this);
    }
    postMessage(message) {
        this.sent.push(message);
    }
    terminate() {
        this.isEnded = true;
    }
    say(data) {
        this.dispatchEvent(Object.assign(new Event("message"), { data }));
    }
}

function startNet(isolated) {
    FakeWorker.made = [];
    Object.assign(globalThis, { Worker: FakeWorker, crossOriginIsolated: isolated });
    Object.defineProperty(globalThis, "navigator", { value: { hardwareConcurrency: 8 }, configurable: true });
    const news = [];
    const net = new Net((item) => news.push(item));
    net.start();
    return { net, news };
}

test("threads are used where the page is isolated, and one where it is not", () => {
    startNet(true);
    assert.equal(FakeWorker.made[0].threads, 4);
    startNet(false);
    assert.equal(FakeWorker.made[0].threads, 1);
});

test("when threads fail, the job is run with one; when that fails, a sentence tells, and Run starts anew", () => {
    const { net, news } = startNet(true);
    FakeWorker.made[0].say({ kind: "ready" });
    net.run({ limit: 1 });
    FakeWorker.made[0].say({ kind: "refused", id: 1, text: "x", isRuntime: true });
    const [first, second] = FakeWorker.made;
    assert.deepEqual([first.isEnded, second.threads, news.some(({ kind }) => kind === "failed")], [true, 1, false]);
    second.say({ kind: "ready" });
    assert.equal(second.sent[0].id, 1);
    second.say({ kind: "refused", id: 1, text: "No memory.", isRuntime: true });
    assert.equal(news.at(-1).text, "No memory. Press Run to try again.");
    net.run({ limit: 1 });
    FakeWorker.made[2].say({ kind: "ready" });
    assert.equal(FakeWorker.made[2].sent[0].id, 2);
});

test("when the graphics card fails, a sentence tells, and the job is run without it", () => {
    const { net, news } = startNet(true);
    net.useGpu(true);
    const [, card] = FakeWorker.made;
    assert.deepEqual([card.onGpu, card.threads], [true, 1]);
    card.say({ kind: "ready" });
    net.run({ limit: 1 });
    card.say({ kind: "refused", id: 1, text: "The net failed.", isRuntime: true });
    const last = FakeWorker.made[2];
    assert.deepEqual([card.isEnded, net.onGpu, last.onGpu, last.threads], [true, false, false, 4]);
    assert.deepEqual(news.at(-1), { kind: "gpu refused", text: "The graphics card is not used: the net failed." });
    last.say({ kind: "ready" });
    assert.equal(last.sent[0].id, 1);
});

test("a model that is not what it should be is told at once, without another try", () => {
    const { news } = startNet(true);
    FakeWorker.made[0].say({ kind: "failed", text: "It is damaged.", isRuntime: false });
    assert.equal(FakeWorker.made.length, 1);
    assert.equal(news.at(-1).kind, "failed");
});

test("the result of an overtaken run is dropped", () => {
    const { net, news } = startNet(false);
    const [worker] = FakeWorker.made;
    worker.say({ kind: "ready" });
    net.run({ limit: 1 });
    net.run({ limit: 1 });
    const part = { close: () => (part.isClosed = true) };
    worker.say({ kind: "done", id: 1, part });
    worker.say({ kind: "saved", id: 1 });
    assert.deepEqual([part.isClosed, news.length, net.isBusy], [true, 1, true]);
    worker.say({ kind: "done", id: 2, part });
    net.drop();
    worker.say({ kind: "saved", id: 2 });
    assert.deepEqual(
        news.map(({ kind }) => kind),
        ["ready", "done"],
    );
});
