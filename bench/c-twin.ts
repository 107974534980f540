/** The same layout and algorithm in C: compiled here, run beside ours.  `null` where there is no gcc. */

import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export interface CTwin {
  /** The command that compiled it. */
  readonly command: string;
  /** Runs it with these arguments; the numbers of its one line of output. */
  run(...args: (string | number)[]): Promise<number[]>;
}

/** Compiles `bench/c/<name>.c`. */
export function compileTwin(name: string): CTwin | null {
  if (spawnSync("gcc", ["--version"]).status !== 0) return null;
  const source = fileURLToPath(new URL(`./c/${name}.c`, import.meta.url));
  const binary = join(mkdtempSync(join(tmpdir(), "smpsim-bench-")), name);
  const flags = ["-O2", "-pthread", "-Wall", "-Wextra"];
  const compiled = spawnSync("gcc", [...flags, "-o", binary, source], { encoding: "utf8" });
  if (compiled.status !== 0) throw new Error(`gcc does not compile bench/c/${name}.c:\n${compiled.stderr}`);
  return {
    command: `gcc ${flags.join(" ")} bench/c/${name}.c`,
    run: async (...args) => {
      const { stdout } = await promisify(execFile)(binary, args.map(String));
      return stdout.trim().split(/\s+/).map(Number);
    },
  };
}

export const NO_GCC = "there is no gcc: nothing to compare with was measured";
