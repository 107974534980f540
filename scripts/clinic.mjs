// Runs clinic over the command line.  It sees the main thread only, never the simulated CPUs: use it for the
// command line and the web page, and `npm run profile` for the machine.
// Use: npm run clinic -- doctor bench page-repeat --cpus 2     (doctor, flame, bubbleprof, heapprofiler)
//
// clinic brings some 700 packages, so it is installed in tools/clinic, and only when it is asked for.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const TOOLS = ["doctor", "flame", "bubbleprof", "heapprofiler"];

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const folder = join(root, "tools", "clinic");
const program = join(folder, "node_modules", "clinic", "bin.js");
const [tool, ...command] = process.argv.slice(2);

if (!TOOLS.includes(tool)) {
  console.error(`smpsim: npm run clinic -- TOOL COMMAND…, where TOOL is one of ${TOOLS.join(", ")}`);
  process.exit(2);
}
if (!existsSync(program)) run("npm", ["install", "--no-package-lock", "--no-audit", "--no-fund"], folder);
// Without these, clinic asks whether it may report its use, and waits.
Object.assign(process.env, { NO_INSIGHT: "1", NO_UPDATE_NOTIFIER: "1" });
const flags = ["--open=false", "--dest", join(root, "reports", "clinic")];
const guard = ["--require", join(folder, "main-thread-only.cjs")];
const target = [process.execPath, ...guard, join(root, "src", "cli", "main.ts"), ...command];
run(process.execPath, [program, tool, ...flags, "--", ...target], root);

function run(name, args, cwd) {
  const result = spawnSync(name, args, { cwd, stdio: "inherit", shell: process.platform === "win32" });
  if (result.error) throw result.error;
  if (result.status !== 0) process.exit(result.status ?? 1);
}
