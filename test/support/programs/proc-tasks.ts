/**
 * Processes that read each other's reports while they run: a parent with a thread, and a child that waits until it has been
 * looked at.  Each is asked only for what it knows.
 */

import type { Kernel } from "../../../src/machine/kernel.ts";
import type { YieldingUser } from "../../../src/process/tasks/user.ts";
import * as grammar from "../pid-grammar.ts";

export const needs = ["scheduler", "reports"];

const PAGE = 4096;
const PAGES = 20;
let kernel: Kernel;

const read = (name: string): string => kernel.proc(name);
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

function expectEqual(what: string, got: unknown, wanted: unknown): void {
  if (JSON.stringify(got) !== JSON.stringify(wanted))
    throw new Error(`${what} is ${JSON.stringify(got)}, expected ${JSON.stringify(wanted)}`);
}

/** What must be alike in all reports of a process that nobody changes meanwhile. */
function checkReports(pid: number): grammar.Status {
  const status = grammar.parseStatus(read(`${pid}/status`));
  const smaps = grammar.parseSmaps(read(`${pid}/smaps`));
  const rss = sum(smaps.map(({ sizes }) => sizes.get("Rss")!));
  expectEqual(`VmRSS of ${pid}`, status.kilobytes.get("VmRSS"), rss);
  expectEqual(`statm of ${pid}`, grammar.parseStatm(read(`${pid}/statm`))[1] * 4, rss);
  expectEqual(
    `VmSize of ${pid}`,
    status.kilobytes.get("VmSize"),
    sum(smaps.map(({ sizes }) => sizes.get("Size")!)),
  );
  const names = grammar.parseMaps(read(`${pid}/maps`)).map(({ name }) => name);
  if (!names.includes("[stack]")) throw new Error(`process ${pid} has no stack: ${names.join(" ")}`);
  return status;
}

const isAsleep = (pid: number): boolean => read(`${pid}/status`).includes("State:\tS (sleeping)");

function* main(user: YieldingUser): Generator<undefined, number> {
  const at = user.mmap(PAGES * PAGE);
  for (let k = 0; k < PAGES; k++) user.write32(at + k * PAGE, k);
  // A word that parent and child share: 1 when the child is ready, 2 when it may end.
  const word = user.mmap(PAGE, { flags: 0x21 });
  const child = user.fork("child", word);
  const thread = user.thread("thread", word + 4);
  // Nothing changes any more when both sleep.
  while (user.read32(word) !== 1 || !isAsleep(child) || !isAsleep(thread)) yield* user.schedYield();
  const own = checkReports(user.getpid());
  expectEqual("Tgid", Number(own.texts.get("Tgid")), user.getpid());
  expectEqual("Name", own.texts.get("Name"), "main");
  expectEqual("Threads", own.texts.get("Threads"), "2");
  const childs = checkReports(child);
  expectEqual("PPid", Number(childs.texts.get("PPid")), user.getpid());
  expectEqual("State", childs.texts.get("State"), "S (sleeping)");
  expectEqual("VmExe", childs.kilobytes.get("VmExe"), 4);
  const ofThread = grammar.parseStatus(read(`${thread}/status`));
  expectEqual("Tgid of a thread", Number(ofThread.texts.get("Tgid")), user.getpid());
  // What both have is shared by two; what neither has written since the fork is theirs alike.
  const ours = grammar.parsePagemap(read(`${user.getpid()}/pagemap`));
  const theirs = grammar.parsePagemap(read(`${child}/pagemap`));
  for (let k = 0; k < PAGES; k++)
    expectEqual(`frame ${k}`, theirs.get(at + k * PAGE)?.pfn, ours.get(at + k * PAGE)?.pfn);
  const lines = read("ps").split("\n");
  for (const pid of [user.getpid(), thread, child])
    if (!lines.some((line) => new RegExp(`^ *\\d+ +${pid} [RS] `).test(line)))
      throw new Error(lines.join("\n"));
  user.write32(word, 2);
  user.futexWake(word);
  user.write32(word + 4, 2);
  user.futexWake(word + 4);
  yield* user.wait4(child);
  return 0;
}

function* child(user: YieldingUser, word: number): Generator<undefined, number> {
  user.write32(word, 1);
  while (user.read32(word) === 1) yield* user.futexWait(word, 1);
  return 0;
}

function* thread(user: YieldingUser, word: number): Generator<undefined, number> {
  while (user.read32(word) === 0) yield* user.futexWait(word, 0);
  return 0;
}

const programs = { main, child, thread };

export function setup(own: Kernel): void {
  own.scheduler.use(programs);
  own.scheduler.spawn("main");
}

export function attach(own: Kernel): void {
  kernel = own;
  own.scheduler.use(programs);
  own.scheduler.takeOutput();
}

export function run(own: Kernel): unknown {
  own.scheduler.runTasks();
  return own.scheduler.takeOutput();
}
