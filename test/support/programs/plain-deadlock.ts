/** Two plain functions on one CPU: the second, which waits for the first, lies on top of it. */

import type { User } from "../../../src/index.ts";

export function main(user: User): void {
  const page = user.mmap(4096);
  user.thread("second", page);
  while (user.load32(page) === 0) user.futexWait(page, 0);
  user.store32(page + 4, 1);
  user.futexWake(page + 4);
}

export function second(user: User, page: number): void {
  user.store32(page, 1);
  user.futexWake(page);
  while (user.load32(page + 4) === 0) user.futexWait(page + 4, 0);
}
