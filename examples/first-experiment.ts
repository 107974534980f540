// How many pages a second can each CPU allocate and free?   npx smpsim bench ./examples/first-experiment.ts --cpus 1,2
import type { Kernel } from "smpsim";

const GFP_KERNEL = 0xcc0;

export function run(kernel: Kernel): void {
  kernel.phase("pages", () => {
    let pairs = 0;
    while (kernel.more(pairs)) {
      kernel.pages.freePages(kernel.pages.allocPages(GFP_KERNEL, 0), 0);
      pairs++;
      kernel.cpu.endOperation();
    }
    return pairs;
  });
}
