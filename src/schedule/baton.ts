/**
 * The baton: in the serial modes exactly one CPU's worker runs; the others sleep on a word of their own.
 *
 * A hand-over is one store, one notify and one wait; everything that the giver wrote is seen by the taker, so scheduler
 * state needs no atomics.
 */

/** Gives the baton to the CPU whose word is `at`. */
export function giveBaton(words: Int32Array, at: number): void {
  Atomics.store(words, at, 1);
  Atomics.notify(words, at);
}

/** Sleeps until the baton lies on the word `at`, and takes it.  Ends without it when the word `panic` is set. */
export function awaitBaton(words: Int32Array, at: number, panic: number | null = null): void {
  while (Atomics.load(words, at) === 0) {
    if (panic !== null && Atomics.load(words, panic) !== 0) return;
    Atomics.wait(words, at, 0);
  }
  words[at] = 0;
}
