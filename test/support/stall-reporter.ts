/**
 * Ends test processes that are stuck, and counts results for .ci/run.
 *
 * vitest's time limit is a timer in the thread of the test: it never fires while that thread blocks or spins, and the
 * run would wait for ever.  This reporter lives in vitest's main process.  It kills a test process whose step
 * (progress.ts) is overdue; vitest reports that file as failed and goes on with the next one.  Results that the process
 * had not sent are lost.
 *
 * If SMPSIM_TEST_COUNTS names a file, each result is appended to it as one line, so that what was counted survives
 * a run that is cut off.
 */

import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Reporter, TestCase, TestModule } from "vitest/node";
import type { Step } from "./progress.ts";

type Outcome = "passed" | "failed" | "skipped";

/** vitest's own limit comes first where it can: it knows more about the test. */
const DEFAULT_GRACE_MS = 15_000;
const POLL_MS = 500;

export class StallReporter implements Reporter {
  private readonly graceMs: number;
  private folder = "";
  private timer: NodeJS.Timeout | undefined;
  private killed = 0;

  constructor(graceMs = DEFAULT_GRACE_MS) {
    this.graceMs = graceMs;
  }

  onInit(): void {
    this.folder = mkdtempSync(join(tmpdir(), "smpsim-tests-"));
    process.env.SMPSIM_TEST_PROGRESS = this.folder;
    process.once("exit", () => rmSync(this.folder, { recursive: true, force: true }));
    this.timer = setInterval(() => this.killStuck(), POLL_MS).unref();
  }

  onTestCaseResult(test: TestCase): void {
    const { state } = test.result();
    if (state !== "pending") count(state, test.fullName);
  }

  onTestModuleEnd(module: TestModule): void {
    for (const error of module.errors()) count("failed", `${module.moduleId}: ${error.message}`);
  }

  onTestRunEnd(_modules: readonly TestModule[], unhandledErrors: readonly { message: string }[]): void {
    clearInterval(this.timer);
    // vitest has one such error for each process killed here, and those are counted already.
    for (const error of unhandledErrors.slice(this.killed)) count("failed", error.message);
  }

  private killStuck(): void {
    for (const name of readdirSync(this.folder)) {
      const step = readStep(join(this.folder, name));
      if (!step || Date.now() < step.startedMs + step.limitMs + this.graceMs) continue;
      rmSync(join(this.folder, name));
      if (!kill(step.pid)) continue;
      this.killed++;
      count("failed", step.what);
      console.error(
        `\nSTUCK  ${step.what}\n  its thread is blocked: no end within ${step.limitMs} ms, killed\n`,
      );
    }
  }
}

/** Null while the file is being written. */
function readStep(path: string): Step | null {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return null;
  }
}

/** False if the process is gone: a file that ended normally leaves its last step behind. */
function kill(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    return false;
  }
}

function count(outcome: Outcome, what: string): void {
  const file = process.env.SMPSIM_TEST_COUNTS;
  if (file) appendFileSync(file, `${outcome} ${what.split("\n")[0]}\n`);
}
