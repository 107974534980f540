/** Every CPU takes and gives back blocks of random orders, keeping a few; at the end it gives all back. */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { Gfp, GfpFlag } from "../../../src/mm/pages/gfp.ts";

const KEPT = 16;

export function run(kernel: Kernel, _options: ProgramOptions): number {
  const { cpu, pages } = kernel;
  const held: { pfn: number; order: number }[] = [];
  let done = 0;
  while (kernel.more(done)) {
    if (held.length < KEPT && cpu.random.below(2) === 0) {
      const order = cpu.random.below(4);
      const pfn = pages.allocPages(Gfp.KERNEL | GfpFlag.NOWARN, order);
      if (pfn !== 0) held.push({ pfn, order });
    } else if (held.length > 0) {
      const [block] = held.splice(cpu.random.below(held.length), 1);
      pages.freePages(block.pfn, block.order);
    }
    done++;
    cpu.endOperation();
  }
  for (const { pfn, order } of held) pages.freePages(pfn, order);
  return done;
}
