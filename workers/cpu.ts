/**
 * The thread of one simulated CPU.  Wiring only: the shape and all modules are already here as worker data when the kernel
 * is loaded.
 */

import { threadId, workerData } from "node:worker_threads";
import { ModuleLoader } from "../src/machine/module-loader.ts";
import type { ModuleCarrier } from "../src/machine/module-table.ts";
import type { CpuAnswer, CpuTask } from "../src/machine/task.ts";

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
const door = new URL(`../src/machine/serve.${extension}`, import.meta.url).href;
const table = (workerData as ModuleCarrier).smpsimModules;
const loader = table === null ? null : new ModuleLoader(table);
const { serve } = (await (loader?.load(door) ?? import(door))) as typeof import("../src/machine/serve.ts");

export async function cpu(task: CpuTask): Promise<CpuAnswer> {
  if (task.kind === "code") return { ok: true, value: loader?.takeCompiled() ?? [], threadId };
  return serve(task);
}
