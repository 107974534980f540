/** The host's name for the calling thread. */

import { readlinkSync } from "node:fs";

/** The host's id of the calling thread; 0 where the host does not tell. */
export function hostThreadId(): number {
  try {
    return Number(readlinkSync("/proc/thread-self").split("/").pop());
  } catch {
    return 0;
  }
}
