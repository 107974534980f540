/**
 * Two CPUs of one program write to a page that they share with a child since a fork: the first write copies it, for both.
 * Each finds at once what the other has written, and the child what was there before.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { LINE_WORDS, PAGE_BYTES, type Pointer, WORD_BYTES } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { MapFlag } from "../process/mmap.ts";
import { type MmRef, MmStruct } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "cow-threads",
  summary: "two CPUs of a program write to a page that its child shares: one copy, and nothing is lost",
  cpus: 2,
  mutants: ["cow-no-flush", "cow-reuse-shared"],
};

const START = 2 ** 40;
const BEFORE = 40;

interface Shared {
  readonly parent: MmRef;
  readonly child: MmRef;
  /** A line a CPU: 1 once it has written. */
  readonly written: Pointer;
}

export function setup({ processes, paging, pages }: Kernel): Shared {
  processes.start();
  const parent = processes.spaces.make();
  const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED;
  const request = { bytes: PAGE_BYTES, prot: Prot.READ | Prot.WRITE, flags, file: null, offset: 0 };
  if (processes.calls.mmap(parent, { address: START, ...request }) !== START) bug("no memory for a VMA");
  processes.use(parent);
  paging.user.write(START, BEFORE);
  const child = processes.calls.fork(parent);
  processes.use(0);
  if (child < 0) bug("no memory for a child");
  return { parent, child, written: pages.getZeroedPage(Gfp.KERNEL) };
}

export function attach({ regions }: Kernel, _options: object, { parent, child }: Shared): void {
  regions.add("parent", parent, MmStruct);
  regions.add("child", child, MmStruct);
}

const wordOf = (cpu: number): number => START + (cpu + 1) * WORD_BYTES;

export function run(kernel: Kernel, _options: object, { parent, written }: Shared): void {
  const { cpu, memory, paging, processes } = kernel;
  processes.use(parent);
  // The page is known to the TLB before the other CPU replaces it.
  if (paging.user.read(START) !== BEFORE) bug(`cpu ${cpu.id} reads something else than ${BEFORE}`);
  look(kernel, written);
  paging.user.write(wordOf(cpu.id), cpu.id + 1);
  memory.store(written + cpu.id * LINE_WORDS, 1);
  look(kernel, written);
  processes.use(0);
  cpu.endOperation();
}

/** What the other CPU has written is there. */
function look({ cpu, memory, paging }: Kernel, written: Pointer): void {
  const other = 1 - cpu.id;
  const isWritten = memory.load(written + other * LINE_WORDS) === 1;
  const seen = paging.user.read(wordOf(other));
  if (isWritten && seen !== other + 1)
    bug(`cpu ${other} has written ${other + 1}, cpu ${cpu.id} reads ${seen}`);
}

export function check(kernel: Kernel, _options: object, _values: unknown, shared: Shared): void {
  const { processes, paging, cpus } = kernel;
  checkSpaces(kernel);
  processes.use(shared.parent);
  for (let cpu = 0; cpu < cpus; cpu++) {
    const word = paging.user.read(wordOf(cpu));
    if (word !== cpu + 1) bug(`cpu ${cpu} wrote ${cpu + 1}, there is ${word}`);
  }
  processes.use(shared.child);
  for (let cpu = 0; cpu < cpus; cpu++) {
    const word = paging.user.read(wordOf(cpu));
    if (word !== 0) bug(`the child reads ${word}, which cpu ${cpu} of its parent wrote`);
  }
  processes.use(0);
}
