/**
 * Pinning: in the serial modes one CPU runs at a time, and handing over is three times cheaper when all threads share a
 * core.  Node has no call for it; util-linux's `taskset` sets a thread's mask by its id, and puts it back afterwards.
 */

import { execFile } from "node:child_process";
import { cpus } from "node:os";
import { promisify } from "node:util";

const run = promisify(execFile);
const LIMIT_MS = 5000;

/** Whether threads are pinned, and why not. */
export interface Pinning {
  readonly pinned: boolean;
  /** The host core, -1 when not pinned. */
  readonly core: number;
  /** Why the threads are not pinned; "" when they are. */
  readonly reason: string;
}

export interface PinnedThreads {
  readonly state: Pinning;
  /** Gives the threads their old masks back. */
  release(): Promise<void>;
}

export const notPinned = (reason: string): PinnedThreads => ({
  state: { pinned: false, core: -1, reason },
  release: async () => {},
});

/**
 * Pins the threads to `wanted`, or to the quietest core that the first one may use.  Never throws: the result says what
 * was reached.
 */
export async function pinThreads(threadIds: readonly number[], wanted?: number): Promise<PinnedThreads> {
  if (process.platform !== "linux") return notPinned(`threads cannot be pinned on ${process.platform}`);
  if (threadIds.length === 0 || threadIds.includes(0)) return notPinned("the host does not tell thread ids");
  try {
    const core = wanted ?? quietestOf(listIn(await taskset(`taskset -pc "$1"`, [threadIds[0]])));
    const masks = await moveAll(threadIds.map((id) => [id, String(core)]));
    const release = async (): Promise<void> => {
      await moveAll(masks).catch(() => {});
    };
    return { state: { pinned: true, core, reason: "" }, release };
  } catch (error) {
    return notPinned(`taskset: ${(error as Error).message.trim()}`);
  }
}

/** A thread, and the list of cores that it may use. */
type Mask = readonly [threadId: number, cores: string];

/** Gives threads new masks, one after the other in one shell; returns their old ones, or leaves all as they were. */
async function moveAll(masks: readonly Mask[]): Promise<Mask[]> {
  const words = masks.flatMap(([id, cores]) => [cores, id]);
  const answer = await taskset('while [ $# -gt 0 ]; do taskset -pc "$1" "$2" || true; shift 2; done', words);
  const old = [...answer.matchAll(/^pid (\d+)'s current affinity list: ([\d,-]+)$/gm)].map(
    ([, id, cores]): Mask => [Number(id), cores],
  );
  if (old.length === masks.length) return old;
  if (old.length > 0) await moveAll(old);
  throw new Error(`it moved ${old.length} of ${masks.length} threads`);
}

/** Runs a shell script over taskset; returns what it printed. */
async function taskset(script: string, words: readonly (string | number)[]): Promise<string> {
  const { stdout } = await run("sh", ["-c", script, "sh", ...words.map(String)], {
    timeout: LIMIT_MS,
    env: { ...process.env, LC_ALL: "C" },
  });
  return stdout;
}

function listIn(answer: string): string {
  const found = /list: ([\d,-]+)/.exec(answer);
  if (found === null) throw new Error(`its answer was not understood: ${answer.trim()}`);
  return found[1];
}

/** Milliseconds that each of the host's cores has been idle. */
const idleTimes = (): number[] => cpus().map(({ times }) => times.idle);

const idleAtStart = idleTimes();

/**
 * The core of a list such as `0-3,8` that has idled most since this process began: pinned threads cannot make room for
 * whatever else runs there.  Of equal ones one by process, so that several processes spread.
 */
function quietestOf(list: string): number {
  const cores = list.split(",").flatMap((part) => {
    const [first, last = first] = part.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  const now = idleTimes();
  const idle = (core: number): number => (now[core] ?? 0) - (idleAtStart[core] ?? 0);
  const most = Math.max(...cores.map(idle));
  const quiet = cores.filter((core) => idle(core) === most);
  return quiet[process.pid % quiet.length];
}
