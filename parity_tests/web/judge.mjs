/**
 * What the page says of outputs for a bundle's golden case: node judge.mjs BUNDLE FOLDER...
 *
 * Each folder holds NAME.npy for each output. Prints a list of sentences as JSON, null where the page has none.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findMiss, readArray } from "../../consumers/web/golden.js";

const [bundle, ...folders] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(join(bundle, "manifest.json"), "utf-8"));
const { inputs, outputs } = manifest.contract;
const read = (specs, find) => Object.fromEntries(specs.map(({ name }) => [name, readArray(readFileSync(find(name)))]));
const golden = (kind) => (name) => join(bundle, "golden", `${kind}_${name}.npy`);
const [given, expected] = [read(inputs, golden("input")), read(outputs, golden("output"))];
const judge = (folder) =>
    findMiss(
        manifest,
        given,
        expected,
        read(outputs, (name) => join(folder, `${name}.npy`)),
    ) ?? null;
console.log(JSON.stringify(folders.map(judge)));
