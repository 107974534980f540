/**
 * Says what each test process is doing, for stall-reporter.ts.  Runs in the process of the tests (setupFiles).
 *
 * A test whose thread blocks cannot be timed out from inside, and messages that were not sent yet are lost.  So each
 * step is written to a file before it begins, where the reporter sees it from another process.
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, type TestContext } from "vitest";

export interface Step {
  pid: number;
  what: string;
  startedMs: number;
  limitMs: number;
}

const folder = process.env.SMPSIM_TEST_PROGRESS ?? "";
const hookLimitMs = Number(process.env.SMPSIM_HOOK_LIMIT_MS);

function begin(what: string, limitMs: number): void {
  const step: Step = { pid: process.pid, what, startedMs: Date.now(), limitMs };
  writeFileSync(join(folder, `${process.pid}.json`), JSON.stringify(step));
}

const nameOf = ({ task }: TestContext) => `${task.file.name} > ${task.name}`;

begin("loading a test file", hookLimitMs);
beforeEach((context) => begin(nameOf(context), context.task.timeout));
afterEach((context) => begin(`after ${nameOf(context)}`, hookLimitMs));
