/**
 * Pinning: in the serial modes one CPU runs at a time, and handing over is three times cheaper when all threads share a
 * core.  Node has no call for it; util-linux's `taskset` sets a thread's mask by its id, and puts it back afterwards.
 */

import { execFile } from "node:child_process";
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

/** Pins the threads to the last core that the first one may use.  Never throws: the result says what was reached. */
export async function pinThreads(threadIds: readonly number[]): Promise<PinnedThreads> {
  if (process.platform !== "linux") return notPinned(`threads cannot be pinned on ${process.platform}`);
  if (threadIds.length === 0 || threadIds.includes(0)) return notPinned("the host does not tell thread ids");
  const masks = new Map<number, string>();
  const release = async (): Promise<void> => {
    await Promise.allSettled([...masks].map(([id, mask]) => taskset(id, mask)));
  };
  try {
    await Promise.all(threadIds.map(async (id) => masks.set(id, await taskset(id))));
    const core = lastCore(masks.get(threadIds[0]) ?? "");
    await Promise.all(threadIds.map((id) => taskset(id, String(core))));
    return { state: { pinned: true, core, reason: "" }, release };
  } catch (error) {
    await release();
    return notPinned(`taskset: ${(error as Error).message.trim()}`);
  }
}

/** Reads the list of cores of a thread, or sets it. */
async function taskset(id: number, list?: string): Promise<string> {
  const args = list === undefined ? ["-pc", String(id)] : ["-pc", list, String(id)];
  const { stdout } = await run("taskset", args, { timeout: LIMIT_MS, env: { ...process.env, LC_ALL: "C" } });
  const found = /list: ([\d,-]+)/.exec(stdout);
  if (found === null) throw new Error(`its answer was not understood: ${stdout.trim()}`);
  return found[1];
}

/** The highest core in a list such as `0-3,8`. */
const lastCore = (list: string): number => Math.max(...list.split(/[,-]/).map(Number));
