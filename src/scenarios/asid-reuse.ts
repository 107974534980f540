/**
 * An address space ends and the only global number goes to another one.  What TLBs know under the number is then the other one's
 * alone.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { MmContext, type MmRef } from "../mm/pgtable/mm-context.ts";
import { look, mapPage, newSpace } from "../mm/shootdown/bare-space.ts";
import { FIRST_GLOBAL_ASID } from "../mm/shootdown/tlb-state.ts";
import type { ScenarioDescription } from "./description.ts";

const ADDRESS = 0x40_0000;

export const describe: ScenarioDescription = {
  name: "asid-reuse",
  summary: "the only global ASID goes from one address space to another",
  cpus: 2,
  memory: "2MiB",
  shootdown: "broadcast",
  mutants: ["asid-reuse-no-flush"],
};

const FIRST = 7;
const SECOND = 9;

interface Shared {
  readonly first: MmRef;
  readonly second: MmRef;
  /** CPUs that have left the first address space. */
  readonly left: Pointer;
  /** 1 once the second one has the number. */
  readonly given: Pointer;
}

export function setup(kernel: Kernel): Shared {
  const { paging, pages } = kernel;
  paging.asids.format(FIRST_GLOBAL_ASID + 1);
  const [first, second] = [newSpace(kernel), newSpace(kernel)];
  mapPage(kernel, first, ADDRESS, FIRST);
  mapPage(kernel, second, ADDRESS, SECOND);
  paging.asids.use(first);
  const words = pages.getZeroedPage(0);
  return { first, second, left: words, given: words + 16 };
}

export function attach(kernel: Kernel, _options: object, { first, second }: Shared): void {
  for (const mm of [first, second]) kernel.regions.add("mm_context", mm, MmContext);
}

export function run(kernel: Kernel, _options: object, { first, second, left, given }: Shared): void {
  const { cpu, paging, memory } = kernel;
  const { tlb, asids } = paging;
  visit(kernel, first, FIRST);
  if (memory.add(left, 1) === 1) {
    asids.free(first);
    asids.use(second);
    memory.store(given, 1);
    memory.wake(given);
  }
  memory.waitWhile(given, -1, 0);
  visit(kernel, second, SECOND);
  tlb.switchMm(tlb.initMm);
  cpu.endOperation();
}

function visit(kernel: Kernel, mm: MmRef, expected: number): void {
  const { tlb } = kernel.paging;
  tlb.switchMm(mm);
  const value = look(kernel, ADDRESS);
  if (value !== expected) bug(`cpu ${kernel.cpu.id} reads ${value} in an address space with ${expected}`);
  tlb.switchMm(tlb.initMm);
}
