// What do a process and its child share?                          npx smpsim run examples/fork-and-copy.ts --cpus 2
import type { User, YieldingUser } from "smpsim";

const PAGE = 4096;

// The child has a copy of all memory, made page by page when one of the two writes.
export function child(user: User, address: number) {
  user.print(`child ${user.getpid()}: reads ${user.read32(address)}`);
  user.write32(address, 7); // a page fault: this page is copied now
  user.print(`child ${user.getpid()}: wrote ${user.read32(address)}`);
  return 3; // the exit status
}

export function* main(user: YieldingUser) {
  const address = user.mmap(4 * PAGE); // private anonymous memory: nothing is there until it is touched
  user.write32(address, 42);
  const pid = user.fork("child", address);
  const { status } = yield* user.wait4(pid); // other tasks run meanwhile
  user.print(
    `parent ${user.getpid()}: child ${pid} ended with ${status >> 8}, and here is ${user.read32(address)}`,
  );
}
