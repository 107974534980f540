/**
 * The thread of one simulated CPU.  Wiring only: the shape and the modules' text are already here as worker data when the
 * kernel is imported.
 */

import { workerData } from "node:worker_threads";
import { loadFrom, type ModuleCarrier } from "../src/machine/module-table.ts";
import type { CpuAnswer, CpuTask } from "../src/machine/task.ts";

loadFrom((workerData as ModuleCarrier).smpsimModules);
const { serve } = await import("../src/machine/serve.ts");

export function cpu(task: CpuTask): Promise<CpuAnswer> {
  return serve(task);
}
