/** Frames of kernel and program code in a call stack as V8 prints it. */

import { fileURLToPath, pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { framesOf } from "../../../src/machine/call-frames.ts";

const root = new URL("../../../", import.meta.url);
const inRoot = (path: string): string => new URL(path, root).href;
const elsewhere = pathToFileURL("/projects/mine/scenario.ts");

test("functions and places, innermost first; the simulator's machinery is left out", () => {
  const stack = [
    "Error: nothing",
    `    at ExploreMemory.read (${inRoot("src/schedule/explore/memory.ts")}:80:5)`,
    `    at bug (${inRoot("src/memory/bug.ts")}:40:9)`,
    `    at Buddy.insert (${inRoot("src/mm/pages/buddy.ts")}:167:12)`,
    `    at new PageFree (${inRoot("src/mm/pages/page-free.ts")}:40:12)`,
    `    at ${elsewhere.href}:12:3`,
    `    at Module.run (${elsewhere.href}:20:3)`,
    `    at async serve (${inRoot("src/machine/serve.ts")}:30:3)`,
    `    at cpu (${inRoot("workers/cpu.ts")}:10:3)`,
    `    at handle (${inRoot("node_modules/piscina/dist/worker.js")}:1:3)`,
    "    at process.processTicks (node:internal/process/task_queues:105:5)",
  ].join("\n");
  expect(framesOf(stack)).toEqual([
    { name: "Buddy.insert", place: "src/mm/pages/buddy.ts:167" },
    { name: "PageFree", place: "src/mm/pages/page-free.ts:40" },
    { name: "", place: `${fileURLToPath(elsewhere)}:12` },
    { name: "run", place: `${fileURLToPath(elsewhere)}:20` },
  ]);
  expect(framesOf("")).toEqual([]);
});
