// @ts-check
/**
 * The page: photo, strokes, buttons. The net runs in worker.js.
 *
 * @typedef {import("./marks.js").Stroke} Stroke
 * @typedef {import("./marks.js").Tool} Tool
 * @typedef {import("./net.js").News} News
 * @typedef {Extract<News, {kind: "done"}> & {png?: Blob}} Result
 */

import * as draw from "./draw.js";
import { History } from "./marks.js";
import { hasGpu, Net } from "./net.js";

/** @type {<T extends HTMLElement = HTMLButtonElement>(id: string) => T} */
const find = (id) => /** @type {any} */ (document.getElementById(id));

const stage = find("stage");
const cursor = find("cursor");
const status = find("status");
const progress = /** @type {HTMLProgressElement} */ (find("progress"));
const size = /** @type {HTMLInputElement} */ (find("size"));
const limit = /** @type {HTMLSelectElement} */ (find("limit"));
const file = /** @type {HTMLInputElement} */ (find("file"));
const gpu = /** @type {HTMLInputElement} */ (find("gpu"));
const showEdges = /** @type {HTMLInputElement} */ (find("show-edges"));

// What a pen shows, in pixels of the screen.
const PEN_WIDTH = 10;

/** @type {{blob: Blob, bitmap: ImageBitmap, name: string} | undefined} */
let photo;
const history = new History();
/** @type {Result | undefined} */
let result;
/** @type {Stroke | undefined} The stroke under the pointer. */
let current;
let isBefore = false;
/** Whether the marks were changed since the result was made. */
let isChanged = true;

const net = new Net(hear);
let hasMask = true;
/** @type {number | undefined} */
let clock;

/**
 * @param {string} text
 * @param {"busy" | "idle" | "bad"} [kind]
 * @param {number} [share] Of what is being done, where it is known.
 */
function say(text, kind = "idle", share) {
    if (status.textContent !== text) status.textContent = text;
    status.classList.toggle("bad", kind === "bad");
    progress.classList.toggle("idle", kind !== "busy");
    if (share === undefined) progress.removeAttribute("value");
    else progress.value = share;
}

// The net

/** @param {News} news */
function hear(news) {
    if (news.kind === "progress") {
        say(news.text, "busy", news.share);
    } else if (news.kind === "ready") {
        show(news);
        if (!net.isBusy) sayReady();
    } else if (news.kind === "started") {
        startClock();
    } else if (news.kind === "done") {
        stopClock();
        result = news;
        isChanged = false;
        say(`Done in ${news.seconds.toFixed(1)} s.`);
    } else if (news.kind === "saved" && result) {
        result.png = news.png;
    } else if (news.kind === "failed") {
        stopClock();
        say(news.text, "bad");
    } else if (news.kind === "gpu refused") {
        stopClock();
        gpu.checked = false;
        find("gpu-note").textContent = news.text;
    }
    update();
}

/** @param {Extract<News, {kind: "ready"}>} found */
function show(found) {
    hasMask = found.hasMask;
    find("license").textContent = `Net: ${found.name}. ${found.license}`;
    find("marks").hidden = !hasMask;
    for (const tool of ["draw", "erase"]) {
        /** @type {HTMLElement} */ (stage.ownerDocument.querySelector(`.tool.${tool}`)).hidden = !found.hasEdits;
    }
    find("edges-label").hidden = !found.hasEdits;
    if (!hasMask) {
        find("title").textContent = document.title = "Turn a photo into a picture";
        find("hint").textContent = "Open, drop or paste a photo, then press Run.";
        history.reset();
    }
    document.documentElement.dataset.threads = String(found.threads);
    if (found.forGpu) hasGpu().then((has) => (find("gpu-label").hidden = !has));
}

function sayReady() {
    if (net.isReady && photo)
        say(hasMask && !hasHole() ? "Ready. Paint over what is to be filled." : "Ready. Press Run.");
}

const hasHole = () => history.strokes.some((stroke) => stroke.tool === "hole");

function run() {
    if (!photo || !canRun()) return;
    say(net.isReady ? "Reading the photo" : "Starting", "busy");
    net.run({ photo: photo.blob, strokes: history.strokes, limit: Number(limit.value) });
    update();
}

/** Before the net is ready, too: the job waits for it. */
const canRun = () => photo !== undefined && (!hasMask || hasHole());

function startClock() {
    stopClock();
    const began = performance.now();
    const tick = () => say(`Running, ${Math.round((performance.now() - began) / 1000)} s`, "busy");
    tick();
    clock = setInterval(tick, 1000);
}

function stopClock() {
    clearInterval(clock);
}

// The photo

/**
 * @param {Blob} blob
 * @param {string} name
 * @param {Stroke[]} [strokes]
 */
async function open(blob, name, strokes = []) {
    let bitmap;
    try {
        bitmap = await createImageBitmap(blob);
    } catch {
        say(`${name} is no image that this browser can read.`, "bad");
        return;
    }
    net.drop();
    stopClock();
    photo?.bitmap.close();
    photo = { blob, bitmap, name };
    result = undefined;
    isChanged = true;
    history.reset();
    for (const stroke of hasMask ? strokes : []) history.add(stroke);
    stage.style.setProperty("--aspect", String(bitmap.width / bitmap.height));
    find("photo").setAttribute("aria-label", `The photo ${name}, ${bitmap.width} by ${bitmap.height} pixels`);
    sayReady();
    update();
}

async function openSample() {
    const [blob, sample] = await Promise.all([
        fetch("sample.png").then((answer) => answer.blob()),
        fetch("sample.json").then((answer) => answer.json()),
    ]);
    if (!photo) await open(blob, "sample.png", sample.strokes);
}

async function goOn() {
    if (result?.png && photo) await open(result.png, photo.name);
}

function download() {
    if (!result?.png || !photo) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(result.png);
    link.download = `${photo.name.replace(/\.[^.]*$/, "")}-filled.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// What is shown

function update() {
    find("run").disabled = !canRun();
    find("undo").disabled = !history.canUndo;
    find("redo").disabled = !history.canRedo;
    find("clear").disabled = history.strokes.length === 0;
    find("before").disabled = result === undefined;
    find("go-on").disabled = find("download").disabled = result?.png === undefined;
    showEdges.disabled = result?.edges === undefined;
    requestAnimationFrame(paint);
}

function paint() {
    if (!photo) return;
    const { bitmap } = photo;
    stage.classList.toggle("result", result !== undefined);
    stage.classList.toggle("clean", result !== undefined && !isChanged);
    draw.showPhoto(find("photo"), bitmap, isBefore ? undefined : result);
    const strokes = current ? [...history.strokes, current] : history.strokes;
    draw.showMarks(find("holes"), find("pens"), bitmap.width, strokes);
    const edges = find("edges");
    edges.hidden = !(showEdges.checked && result?.edges) || isBefore;
    if (!edges.hidden && result) draw.showEdges(find("edges"), bitmap, result);
}

// Strokes

/** @type {() => Tool} */
const readTool = () =>
    /** @type {Tool} */ (/** @type {HTMLInputElement} */ (document.querySelector("[name=tool]:checked")).value);

/** @param {Tool} tool */
const isPen = (tool) => tool === "draw" || tool === "erase";

/** @param {PointerEvent} event */
function place(event) {
    const box = stage.getBoundingClientRect();
    const scale = (photo?.bitmap.width ?? 1) / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale, scale };
}

stage.addEventListener("pointerdown", (event) => {
    if (!photo || !hasMask || event.button !== 0 || current) return;
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    const { x, y, scale } = place(event);
    const tool = readTool();
    current = { tool, size: (isPen(tool) ? PEN_WIDTH : Number(size.value)) * scale, points: [x, y] };
    isChanged = true;
    update();
});

stage.addEventListener("pointermove", (event) => {
    moveCursor(event);
    if (!current || !stage.hasPointerCapture(event.pointerId)) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const part of all.length > 0 ? all : [event]) {
        const { x, y } = place(part);
        current.points.push(x, y);
    }
    requestAnimationFrame(paint);
});

stage.addEventListener("pointerup", (event) => {
    if (!current || !stage.hasPointerCapture(event.pointerId)) return;
    history.add(current);
    current = undefined;
    if (!net.isBusy) sayReady();
    update();
});

stage.addEventListener("pointercancel", () => {
    current = undefined;
    update();
});

/** @param {PointerEvent} event */
function moveCursor(event) {
    const box = stage.getBoundingClientRect();
    const diameter = isPen(readTool()) ? PEN_WIDTH : Number(size.value);
    cursor.hidden = event.pointerType === "touch" || !hasMask;
    cursor.style.left = `${event.clientX - box.left}px`;
    cursor.style.top = `${event.clientY - box.top}px`;
    cursor.style.width = cursor.style.height = `${diameter}px`;
}

stage.addEventListener("pointerleave", () => (cursor.hidden = true));

/** @param {() => void} change */
function changeMarks(change) {
    if (current) return;
    change();
    isChanged = true;
    if (!net.isBusy) sayReady();
    update();
}

// Buttons, keys, files

/** @param {boolean} on */
function holdBefore(on) {
    isBefore = on && result !== undefined;
    update();
}

const undo = () => changeMarks(() => history.undo());
const redo = () => changeMarks(() => history.redo());
find("run").addEventListener("click", run);
find("undo").addEventListener("click", undo);
find("redo").addEventListener("click", redo);
find("clear").addEventListener("click", () => changeMarks(() => history.clear()));
find("go-on").addEventListener("click", goOn);
find("download").addEventListener("click", download);
showEdges.addEventListener("change", update);
gpu.addEventListener("change", () => {
    stopClock();
    find("gpu-note").textContent = "";
    say("Starting", "busy");
    net.useGpu(gpu.checked);
});
const before = find("before");
before.addEventListener("pointerdown", (event) => {
    before.setPointerCapture(event.pointerId);
    holdBefore(true);
});
for (const kind of ["pointerup", "pointercancel", "blur"]) before.addEventListener(kind, () => holdBefore(false));
before.addEventListener("contextmenu", (event) => event.preventDefault());

/** @param {string} tool */
const choose = (tool) => {
    const input = /** @type {HTMLInputElement} */ (document.querySelector(`[value=${tool}]`));
    if (!(/** @type {HTMLElement} */ (input.parentElement).hidden)) input.checked = true;
};

/** @param {number} step */
const resizeBrush = (step) => (size.value = String(Number(size.value) + step));

/** @type {Record<string, () => void>} */
const KEYS = {
    h: () => choose("hole"),
    g: () => choose("draw"),
    r: () => choose("erase"),
    e: () => choose("rub"),
    "[": () => resizeBrush(-4),
    "]": () => resizeBrush(4),
    z: undo,
    y: redo,
    enter: run,
    b: () => holdBefore(true),
    s: download,
    o: () => file.click(),
};

addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    const target = /** @type {HTMLElement} */ (event.target);
    const isUsedThere = key === "enter" && target.closest("button, summary, select, a, [type=file]");
    if (
        event.altKey ||
        target.closest("select") ||
        isUsedThere ||
        ((event.ctrlKey || event.metaKey) && !"zy".includes(key))
    )
        return;
    if (before === document.activeElement && (key === " " || key === "enter")) return;
    const act = key === "z" && event.shiftKey ? redo : KEYS[key];
    if (!act) return;
    event.preventDefault();
    act();
});
addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "b") holdBefore(false);
});
before.addEventListener("keydown", (event) => {
    if (event.key === " " || event.key === "Enter") holdBefore(true);
});
before.addEventListener("keyup", () => holdBefore(false));

/** @param {Iterable<File>} files */
function openFirst(files) {
    for (const found of files) {
        if (found.type.startsWith("image/") || found.type === "") return void open(found, found.name || "photo");
    }
    for (const found of files) say(`${found.name} is no image that this browser can read.`, "bad");
}

file.addEventListener("change", () => {
    openFirst(file.files ?? []);
    file.value = "";
});
addEventListener("paste", (event) => openFirst(event.clipboardData?.files ?? []));
addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("dropping");
});
addEventListener("dragleave", () => stage.classList.remove("dropping"));
addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("dropping");
    openFirst(event.dataTransfer?.files ?? []);
});
new ResizeObserver(() => requestAnimationFrame(paint)).observe(stage);

find("not-served").hidden = true;
say("Starting", "busy");
net.start();
openSample().catch(() => say("The sample photo cannot be read. Open one of your own."));
