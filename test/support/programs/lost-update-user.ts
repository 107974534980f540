/** Two processes of one address space add to a word without a lock: some schedules lose one of the two. */

import type { User, YieldingUser } from "../../../src/index.ts";

export function adder(user: User, word: number): void {
  user.write32(word, user.read32(word) + 1);
}

export function* main(user: YieldingUser): Generator<undefined, void> {
  const word = user.mmap(4096);
  user.write32(word, 0);
  for (let i = 0; i < 2; i++) user.clone({ flags: user.CLONE.VM }, "adder", word);
  while ((yield* user.wait4()).pid > 0);
  if (user.read32(word) !== 2) throw new Error(`an update is lost: ${user.read32(word)}`);
}
