// @ts-check
/**
 * The net as the page sees it: a worker that is started again with one thread if several fail, without the graphics card if
 * that fails, and the job it was given last.
 *
 * @typedef {import("./worker.js").Job} Job
 * @typedef {import("./worker.js").Message} Message
 * @typedef {Exclude<Message, {kind: "failed" | "refused"}> | {kind: "failed" | "gpu refused", text: string}} News
 */

const MAX_THREADS = 4;

/** Whether the browser offers a graphics card. TypeScript does not know `gpu` yet. */
export async function hasGpu() {
    try {
        return !!(await /** @type {any} */ (navigator).gpu?.requestAdapter());
    } catch {
        return false;
    }
}

export class Net {
    /** @type {Worker | undefined} */
    #worker;
    #threads = 1;
    #lastId = 0;
    /** @type {Job | undefined} What the worker was given last, until it is done. */
    #pending;
    /** @type {(news: News) => void} */
    #tell;
    isReady = false;
    /** Whether the graphics card is used. */
    onGpu = false;

    /** @param {(news: News) => void} tell Hears of this net, but not of jobs that were overtaken. */
    constructor(tell) {
        this.#tell = tell;
    }

    /** Several threads only where the browser shares memory between them, and none beside a graphics card. */
    start() {
        if (this.onGpu) this.#start(1);
        else
            this.#start(globalThis.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1) : 1);
    }

    /** @param {boolean} onGpu What is being run is run again so. */
    useGpu(onGpu) {
        this.onGpu = onGpu;
        this.start();
    }

    /** @param {Omit<Job, "id">} job Overtakes the one before. */
    run(job) {
        this.#pending = { ...job, id: ++this.#lastId };
        if (this.isReady) this.#worker?.postMessage(this.#pending);
        else if (this.#worker === undefined) this.start();
    }

    /** Whatever is being run is not wanted any more. */
    drop() {
        this.#lastId++;
        this.#pending = undefined;
    }

    get isBusy() {
        return this.#pending !== undefined;
    }

    /** @param {number} threads */
    #start(threads) {
        this.#worker?.terminate();
        this.isReady = false;
        this.#threads = threads;
        const worker = new Worker(`worker.js?${this.onGpu ? "gpu=1&" : ""}threads=${threads}`, { type: "module" });
        this.#worker = worker;
        worker.addEventListener("message", (event) => {
            if (this.#worker === worker) this.#hear(event.data);
        });
        worker.addEventListener("error", (event) => {
            event.preventDefault();
            if (this.#worker === worker) this.#fail(event.message || "The browser cannot start the net.", true);
        });
    }

    /** @param {Message} message */
    #hear(message) {
        if (message.kind === "progress" || message.kind === "ready") {
            this.isReady = message.kind === "ready";
            this.#tell(message);
            if (this.isReady && this.#pending) this.#worker?.postMessage(this.#pending);
        } else if (message.kind === "failed") {
            this.#fail(message.text, message.isRuntime);
        } else if (message.id !== this.#lastId) {
            if (message.kind === "done") for (const bitmap of [message.part, message.edges]) bitmap?.close();
        } else if (message.kind === "refused") {
            if (message.isRuntime) {
                this.#fail(message.text, true);
                return;
            }
            this.#pending = undefined;
            this.#tell({ kind: "failed", text: message.text });
        } else {
            if (message.kind === "done") this.#pending = undefined;
            this.#tell(message);
        }
    }

    /**
     * @param {string} text
     * @param {boolean} isRuntime Whether ONNX Runtime failed, which it may not with one thread.
     */
    #fail(text, isRuntime) {
        if (this.onGpu) {
            this.#tell({
                kind: "gpu refused",
                text: `The graphics card is not used: ${text[0].toLowerCase()}${text.slice(1)}`,
            });
            this.useGpu(false);
            return;
        }
        if (isRuntime && this.#threads > 1) {
            this.#start(1);
            return;
        }
        this.#worker?.terminate();
        this.#worker = undefined;
        this.isReady = false;
        this.#pending = undefined;
        this.#tell({ kind: "failed", text: `${text} Press Run to try again.` });
    }
}
