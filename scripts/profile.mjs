// Profiles the command line: one .cpuprofile a thread, so one for each simulated CPU.
// Use: npm run profile -- bench page-repeat --cpus 2

import { spawn } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
const folder = join(root, "reports", "profile", stamp);
mkdirSync(folder, { recursive: true });

const flags = ["--cpu-prof", `--cpu-prof-dir=${folder}`];
const command = [join(root, "src", "cli", "main.ts"), ...process.argv.slice(2)];
const child = spawn(process.execPath, [...flags, ...command], { stdio: "inherit" });
// The child gets Ctrl-C from the terminal; it ends by itself and its profiles are written.
process.on("SIGINT", () => {});
child.on("exit", (code, signal) => {
  process.exitCode = code ?? 128 + constants.signals[signal];
  const files = readdirSync(folder).toSorted();
  console.error(
    `\n${files.length} profiles, one a thread; open them in Chrome's DevTools or https://www.speedscope.app`,
  );
  for (const file of files) console.error(`  ${relative(process.cwd(), join(folder, file))}`);
});
