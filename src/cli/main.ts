/**
 * The command line: `smpsim boot|bench|run|stress|explore|replay|proc|walk|layout|top|workloads|conform|profiles|doctor|start`.
 *
 * Exit codes: 0 fine, 1 a run found a fault, 2 wrong usage (the message says what is valid), 130 and 143 stopped by a
 * signal after printing what was measured.
 */

import { destroyIdlePools } from "../machine/pool.ts";
import { endWithReader, flushed } from "./output.ts";
import { createProgram } from "./program.ts";
import { exitCodeFor } from "./usage.ts";

endWithReader();
const program = createProgram();
try {
  await program.parseAsync(process.argv);
} catch (error) {
  process.exitCode = exitCodeFor(error, program);
}
await destroyIdlePools();
await flushed();
// Threads of a machine that was given up after a fault must not keep the process.
process.exit();
