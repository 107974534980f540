/** Runs an export of a module on a thread of its own that has the given shape, as CPU workers have theirs. */

import { Worker } from "node:worker_threads";
import { DEFAULT_SHAPE, type Shape } from "../../src/memory/shape.ts";

export async function inShape<T>(shape: Partial<Shape>, module: URL, name: string): Promise<T> {
  const workerData = {
    smpsimShape: { ...DEFAULT_SHAPE, ...shape },
    module: module.href,
    name,
  };
  const worker = new Worker(new URL("./in-shape-thread.ts", import.meta.url), { workerData });
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`the thread of ${name} ended with ${code}`)));
  });
}
