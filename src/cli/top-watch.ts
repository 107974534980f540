/** Looks at a machine's object caches while it works, one after the other, until there is a reason to end. */

import type { Machine } from "../machine/machine.ts";
import type { CacheSample } from "../mm/slab/cache-sample.ts";

/** One look. */
export interface Look {
  /** Since the watch began. */
  readonly seconds: number;
  readonly caches: readonly CacheSample[];
}

export interface WatchOptions {
  readonly delaySeconds: number;
  /** Of the whole watch; Infinity: until something else ends it. */
  readonly seconds: number;
  readonly mostLooks: number;
  readonly signal: AbortSignal;
  /** The key that was pressed within so many seconds, or "". */
  readonly wait: (seconds: number, signal: AbortSignal) => Promise<string>;
  /** `first` is what growth is measured from. */
  readonly show: (look: Look, first: Look, key: string) => void;
}

/** How soon after the start, and again while there are no caches yet. */
const FIRST_LOOK_SECONDS = 0.1;

export async function watchSlabs(
  machine: Pick<Machine, "sampleSlabs">,
  options: WatchOptions,
): Promise<void> {
  const { delaySeconds, seconds, mostLooks, signal, wait, show } = options;
  const startedAt = performance.now();
  const elapsed = (): number => (performance.now() - startedAt) / 1000;
  let first: Look | null = null;
  for (let taken = 0; taken < mostLooks; ) {
    const left = seconds - elapsed();
    if (left <= 0) return;
    const pause = first === null ? Math.min(FIRST_LOOK_SECONDS, delaySeconds, seconds / 2) : delaySeconds;
    const key = await wait(Math.min(pause, left), signal);
    if (signal.aborted || key === "q") return;
    const look = { seconds: elapsed(), caches: machine.sampleSlabs() };
    if (first !== null) {
      taken++;
      show(look, first, key);
    } else if (look.caches.length > 0) first = look;
  }
}

/** Where there are no keys. */
export function pause(seconds: number, signal: AbortSignal): Promise<string> {
  return new Promise((done) => {
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      done("");
    };
    const timer = setTimeout(finish, Math.max(0, seconds) * 1000);
    signal.addEventListener("abort", finish);
  });
}
