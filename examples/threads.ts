// Threads of one process add to a counter, with and without a lock.   npx smpsim run examples/threads.ts 4 1000 --cpus 4
import type { User, YieldingUser } from "smpsim";

const PAGE = 4096;
const RACY = 0; // offsets of three words in the page
const LOCKED = 64;
const LOCK = 128;

export function* adder(user: YieldingUser, page: number, rounds: number) {
  for (let i = 0; i < rounds; i++) {
    user.write32(page + RACY, user.read32(page + RACY) + 1); // read, add, write: others come between
    while (user.compareAndSwap(page + LOCK, 0, 1) !== 0) yield* user.futexWait(page + LOCK, 1);
    user.write32(page + LOCKED, user.read32(page + LOCKED) + 1);
    user.store32(page + LOCK, 0);
    user.futexWake(page + LOCK);
    yield; // here another task may have the CPU
  }
}

export function* main(user: YieldingUser, threads = 4, rounds = 1000) {
  const page = user.mmap(2 * PAGE);
  const ends = page + PAGE; // a word for each thread, which is 0 when it has ended
  const flags = user.CLONE.VM | user.CLONE.SIGHAND | user.CLONE.THREAD | user.CLONE.CHILD_CLEARTID;
  for (let i = 0; i < threads; i++) {
    user.write32(ends + 4 * i, 1);
    user.clone({ flags, childTid: ends + 4 * i }, "adder", page, rounds);
  }
  for (let i = 0; i < threads; i++)
    while (user.load32(ends + 4 * i) !== 0) yield* user.futexWait(ends + 4 * i, 1);
  report(user, page, threads * rounds);
}

function report(user: Pick<User, "print" | "read32">, page: number, expected: number) {
  user.print(
    `with the lock ${user.read32(page + LOCKED)} of ${expected}, without ${user.read32(page + RACY)}`,
  );
}
