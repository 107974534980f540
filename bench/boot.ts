/**
 * Question: how long does a machine of 4 CPUs with 256 MiB take to boot?
 * Method: a fresh process for each sample times `Machine.boot`, modules not loaded before.  Cold: an empty compile cache;
 *   warm: the cache that an earlier process filled; again: a second machine in the same process, whose threads live on.
 * Does not show: Node's own start (some 40 ms), and the host's page faults when RAM is first used.
 */

import { execFile } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { bench, interleave, typical } from "./measure.ts";

const ROUNDS = 7;
const MACHINE_URL = new URL("../src/machine/machine.ts", import.meta.url).href;
const PROGRAM = `
  const start = performance.now();
  const { Machine } = await import(${JSON.stringify(MACHINE_URL)});
  const boot = async (from) => {
    const machine = await Machine.boot({ cpus: 4, memory: "256MiB" });
    const ms = performance.now() - from;
    await machine.halt();
    return ms;
  };
  const first = await boot(start);
  const again = await boot(performance.now());
  console.log(JSON.stringify({ first, again }));
  process.exit();
`;

async function boot(cache: string): Promise<{ first: number; again: number }> {
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", PROGRAM], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    env: { ...process.env, NODE_COMPILE_CACHE: cache },
  });
  return JSON.parse(stdout);
}

const newCache = (): string => mkdtempSync(join(tmpdir(), "smpsim-bench-cache-"));

await bench("boot", "How long does a machine of 4 CPUs with 256 MiB take to boot?", async () => {
  const cache = newCache();
  await boot(cache);
  const again: number[] = [];
  const [cold, warm] = await interleave(ROUNDS, [
    async () => (await boot(newCache())).first,
    async () => {
      const sample = await boot(cache);
      again.push(sample.again);
      return sample.first;
    },
  ]);
  return {
    figures: [
      typical("cold", "ms", cold),
      { ...typical("warm", "ms", warm), atMost: 500 },
      typical("again, in the same process", "ms", again),
    ],
  };
});
