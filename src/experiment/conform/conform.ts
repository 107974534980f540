/** Replays traces of a real kernel on a machine of one CPU, and says where they part. */

import { fileURLToPath } from "node:url";
import { Machine } from "../../machine/machine.ts";
import { readTrace } from "./read-trace.ts";
import type { ReplayResult } from "./replay.ts";

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
const PROGRAM = fileURLToPath(new URL(`program.${extension}`, import.meta.url));
const MEMORY = "64MiB";

export interface ConformResult extends ReplayResult {
  readonly name: string;
  readonly profile: string;
  readonly records: number;
}

/** Replays one trace; throws UsageError when it is none, and Error when the machine failed. */
export async function conform(name: string, text: string): Promise<ConformResult> {
  const trace = readTrace(name, text);
  const machine = await Machine.boot({ cpus: 1, memory: MEMORY });
  try {
    const { fault, cpuResults } = await machine.run(PROGRAM, { operations: 1, options: { name, text } });
    if (fault !== null) throw new Error(`${name}: ${fault.message}\n${fault.report}`);
    await machine.check();
    const result = cpuResults[0].value as ReplayResult;
    return {
      name,
      profile: trace.header.profile,
      records: trace.records.filter(({ isSetup }) => !isSetup).length,
      ...result,
    };
  } finally {
    await machine.halt();
  }
}
