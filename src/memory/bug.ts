/**
 * The three ways to fail, and nothing else throws.
 *
 * A *bug* in the simulator or the modelled kernel stops the machine at once: `bug()`.  An *expected failure* is a
 * value that the caller must handle (0, -ENOMEM).  A *user's error* is a `UsageError` that names the valid range.
 */

/** A broken invariant.  The message names the object and its values. */
export class KernelBug extends Error {
  override readonly name = "KernelBug";

  constructor(message: string) {
    super(message);
    witness?.();
  }
}

let witness: (() => void) | null = null;

/** Calls `look` whenever this thread finds a bug, before anything unwinds and changes what there is to see. */
export function witnessBugs(look: (() => void) | null): void {
  witness = look;
}

/** A wrong option, argument or configuration.  The message says what is valid. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Thrown through a CPU's stack when the machine stops for a reason that arose elsewhere. */
export class MachineStopped extends Error {
  override readonly name = "MachineStopped";
}

/** Stops the machine: the message must name the object and the values. */
export function bug(message: string): never {
  throw new KernelBug(message);
}
