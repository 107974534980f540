/** Runs the command line as a user does: a process of its own. */

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { type CommandResult, runCommand } from "./command.ts";
import { projectFolder } from "./folder.ts";

const MAIN = join(projectFolder, "src", "cli", "main.ts");
/** A program that every test can run, whatever the workloads are. */
export const COUNTER = join(projectFolder, "test", "support", "programs", "counter.ts");

export const smpsim = (...args: string[]): Promise<CommandResult> =>
  runCommand(process.execPath, [MAIN, ...args], { cwd: projectFolder, env: { NO_COLOR: "1" } });

/** The command, still running: for signals. */
export const startSmpsim = (...args: string[]): ChildProcessByStdio<null, Readable, Readable> =>
  spawn(process.execPath, [MAIN, ...args], {
    cwd: projectFolder,
    env: { ...process.env, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
