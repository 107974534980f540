/**
 * The thread of one simulated CPU.  Wiring only: the shape is already here as worker data when the kernel is imported.
 */

import type { CpuAnswer, CpuTask } from "../src/machine/task.ts";

const { serve } = await import("../src/machine/serve.ts");

export function cpu(task: CpuTask): Promise<CpuAnswer> {
  return serve(task);
}
