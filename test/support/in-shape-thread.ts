/** The thread of in-shape.ts: its worker data holds the shape, so nothing of the kernel is imported before it is known. */

import { parentPort, workerData } from "node:worker_threads";

const { module, name } = workerData as { module: string; name: string };
const exports = (await import(module)) as Record<string, () => unknown>;
parentPort?.postMessage(await exports[name](), []);
