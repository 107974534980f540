/**
 * A program with two CPUs forks while one of them writes: what the child has seen of a page stays as it is, however the
 * parent goes on, and what the parent has written is not lost.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { LINE_WORDS, PAGE_BYTES, type Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { MapFlag } from "../process/mmap.ts";
import { type MmRef, MmStruct } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "fork-write",
  summary: "a CPU forks while another of the program writes; the child's page stays as it was",
  cpus: 2,
  mutants: ["fork-flush-skipped", "fork-no-write-protect"],
};

const START = 2 ** 40;
/** While the other CPU forks. */
const RACING = 3;
const LAST = RACING + 1;

interface Shared {
  readonly mm: MmRef;
  /** 1 once the parent may write; once the child has read; once the parent has written after that. */
  readonly begun: Pointer;
  readonly seen: Pointer;
  readonly written: Pointer;
}

export function setup({ processes, paging, pages }: Kernel): Shared {
  processes.start();
  const mm = processes.spaces.make();
  const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED;
  const request = { bytes: PAGE_BYTES, prot: Prot.READ | Prot.WRITE, flags, file: null, offset: 0 };
  if (processes.calls.mmap(mm, { address: START, ...request }) !== START) bug("no memory for a VMA");
  processes.use(mm);
  paging.user.write(START, 0);
  processes.use(0);
  const begun = pages.getZeroedPage(Gfp.KERNEL);
  return { mm, begun, seen: begun + LINE_WORDS, written: begun + 2 * LINE_WORDS };
}

export function attach({ regions }: Kernel, _options: object, { mm }: Shared): void {
  regions.add("mm", mm, MmStruct);
}

export function run(kernel: Kernel, _options: object, shared: Shared): void {
  kernel.processes.use(shared.mm);
  if (kernel.cpu.id === 0) forks(kernel, shared);
  else writes(kernel, shared);
  kernel.processes.use(0);
  kernel.cpu.endOperation();
}

function forks({ memory, paging, processes }: Kernel, { mm, begun, seen, written }: Shared): void {
  memory.waitWhile(begun, -1, 0);
  const child = processes.calls.fork(mm);
  if (child < 0) bug("no memory for a child");
  processes.use(child);
  const first = paging.user.read(START);
  memory.store(seen, 1);
  memory.wake(seen);
  memory.waitWhile(written, -1, 0);
  const second = paging.user.read(START);
  if (second !== first) bug(`the child has read ${first}, and now ${second}, which its parent wrote`);
  processes.use(0);
  processes.spaces.put(child);
}

function writes({ memory, paging }: Kernel, { begun, seen, written }: Shared): void {
  for (let value = 1; value <= RACING; value++) {
    paging.user.store(START, value);
    if (value > 1) continue;
    memory.store(begun, 1);
    memory.wake(begun);
  }
  memory.waitWhile(seen, -1, 0);
  paging.user.store(START, LAST);
  memory.store(written, 1);
  memory.wake(written);
}

export function check(kernel: Kernel, _options: object, _values: unknown, { mm }: Shared): void {
  const { processes, paging } = kernel;
  checkSpaces(kernel);
  processes.use(mm);
  const value = paging.user.read(START);
  processes.use(0);
  if (value !== LAST) bug(`the parent wrote ${LAST} last, there is ${value}`);
}
