/**
 * All CPUs get and put references of the same few pages, drain each other's lists, and change shared counters.  Whoever
 * drops the last reference of a page puts a new page in its place.
 *
 * Shared words, from the pointer that `setup` returns: frames of the pages, and a tally of what was counted.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import type { Pointer } from "../../../src/memory/units.ts";
import { NodeStat } from "../../../src/mm/pages/counters.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";

const SLOTS = 4;
const COUNTED = SLOTS;

export function setup({ pages, memory }: Kernel): Pointer {
  const words = pages.getZeroedPage(Gfp.KERNEL);
  for (let slot = 0; slot < SLOTS; slot++) memory.store(words + slot, pages.allocPage(Gfp.KERNEL));
  return words;
}

export function run(kernel: Kernel, _options: ProgramOptions, shared: unknown): number {
  const { cpu, memory, pages } = kernel;
  const words = shared as Pointer;
  const node = pages.frames.nodeAt(0);
  let done = 0;
  while (kernel.more(done)) {
    const slot = words + cpu.random.below(SLOTS);
    const pfn = memory.load(slot);
    const what = cpu.random.below(16);
    if (what === 0) replace(kernel, slot, pfn);
    else if (what === 1) pages.drain.all();
    else if (what === 2) pages.updateVmstat();
    else if (what === 3) {
      const change = cpu.random.below(21) - 10;
      pages.vmstat.modNode(node, NodeStat.nr_dirty, change);
      memory.add(words + COUNTED, change);
    } else if (pfn !== 0 && pages.tryGetPage(pfn)) pages.putPage(pfn);
    done++;
    cpu.endOperation();
  }
  return done;
}

/** Takes the page out of its slot, drops the slot's reference, and puts a new page in. */
function replace({ memory, pages }: Kernel, slot: Pointer, pfn: number): void {
  if (pfn === 0 || memory.cas(slot, pfn, 0) !== pfn) return;
  pages.putPage(pfn);
  memory.store(slot, pages.allocPage(Gfp.KERNEL));
}

export function check(
  { memory, pages }: Kernel,
  _options: ProgramOptions,
  _values: unknown,
  shared: unknown,
): void {
  const words = shared as Pointer;
  const counted = memory.load(words + COUNTED);
  const dirty = pages.vmstat.nodeStateSnapshot(pages.frames.nodeAt(0), NodeStat.nr_dirty);
  if (Math.max(0, counted) !== dirty) throw new Error(`${counted} were counted, nr_dirty says ${dirty}`);
  pages.vmstat.modNode(pages.frames.nodeAt(0), NodeStat.nr_dirty, -counted);
  for (let slot = 0; slot < SLOTS; slot++) {
    const pfn = memory.load(words + slot);
    if (pages.pageCount(pfn) !== 1)
      throw new Error(`page ${pfn} has ${pages.pageCount(pfn)} references, not 1`);
    pages.putPage(pfn);
  }
  pages.freePagesAt(words, 0);
}
