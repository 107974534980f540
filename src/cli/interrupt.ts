/**
 * Ctrl-C: the first asks for an orderly end that keeps what was measured, a later one ends at once.
 *
 * A terminal sends SIGINT to npm and to us, and npm passes its own on: the second within half a second is the same key
 * press.
 */

import { say } from "./output.ts";

const SAME_PRESS_MS = 500;
/** What shells expect of a program that SIGINT or SIGTERM ended. */
const EXIT_CODES: Record<string, number> = { SIGINT: 130, SIGTERM: 143 };

export interface Interruption {
  readonly signal: AbortSignal;
  /** Exit code when it was interrupted, else `code`. */
  exitCode(code: number): number;
}

export function watchInterrupts(): Interruption {
  const controller = new AbortController();
  let firstAt = 0;
  let received = "SIGINT";
  const onSignal = (name: NodeJS.Signals): void => {
    const now = performance.now();
    if (!controller.signal.aborted) {
      firstAt = now;
      received = name;
      say("\nstopping: what was measured is kept (Ctrl-C again ends at once)");
      controller.abort();
    } else if (now - firstAt > SAME_PRESS_MS) {
      process.exit(EXIT_CODES[name]);
    }
  };
  for (const name of Object.keys(EXIT_CODES)) process.on(name, onSignal);
  return {
    signal: controller.signal,
    exitCode: (code) => (controller.signal.aborted && code === 0 ? EXIT_CODES[received] : code),
  };
}
