/** Pinning threads to one host core, and giving them their masks back. */

import { readFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { explore } from "../../src/machine/explore.ts";
import { hostThreadId } from "../../src/machine/host-thread.ts";
import { pinThreads } from "../../src/machine/pin.ts";
import { destroyIdlePools } from "../../src/machine/pool.ts";

const isLinux = process.platform === "linux";

afterAll(destroyIdlePools);

function coresOf(threadId: number): string {
  const status = readFileSync(`/proc/self/task/${threadId}/status`, "utf8");
  return /Cpus_allowed_list:\s*(\S+)/.exec(status)?.[1] ?? "";
}

test("a thread is pinned to one core and gets its mask back, or the reason is told", async () => {
  const id = hostThreadId();
  const before = isLinux ? coresOf(id) : "";
  const pinned = await pinThreads([id]);
  if (pinned.state.pinned) {
    expect(coresOf(id)).toBe(String(pinned.state.core));
    expect(pinned.state.reason).toBe("");
  } else {
    expect(pinned.state.core).toBe(-1);
    expect(pinned.state.reason).not.toBe("");
  }
  await pinned.release();
  if (isLinux) expect(coresOf(id)).toBe(before);
});

test("threads that cannot be pinned are said to be so", async () => {
  const unknown = await pinThreads([0]);
  expect(unknown.state).toMatchObject({ pinned: false, core: -1 });
  expect(unknown.state.reason).toMatch(
    isLinux ? /^the host does not tell thread ids$/ : /cannot be pinned on/,
  );
  await unknown.release();
  // No thread has the highest id that Linux can give.
  const gone = await pinThreads([0x3fffff]);
  expect(gone.state.pinned).toBe(false);
  expect(gone.state.reason).toMatch(isLinux ? /^taskset: / : /cannot be pinned on/);
});

test("a campaign says whether its threads were pinned", async () => {
  const { pinning } = await explore("lost-update", { executions: 10 });
  expect(pinning.pinned ? pinning.core >= 0 : pinning.reason !== "").toBe(true);
});
