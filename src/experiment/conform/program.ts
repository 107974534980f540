/** What a CPU runs to replay a trace: option `name`, and the trace's text as `text`. */

import type { Kernel } from "../../machine/kernel.ts";
import type { ProgramOptions } from "../../machine/program.ts";
import { readTrace } from "./read-trace.ts";
import { type ReplayResult, replay } from "./replay.ts";

export function run(kernel: Kernel, options: ProgramOptions): ReplayResult {
  return replay(kernel, readTrace(String(options.name), String(options.text)));
}
