/**
 * A CPU takes a page of a file out of its program's page table while another writes into it through what its TLB remembers, and a
 * third writes the page to where it is kept.  As long as the TLB lets writes through, nobody may take the page for clean.
 */

import type { Kernel } from "../machine/kernel.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { Madvice } from "../process/madvise.ts";
import type { ScenarioDescription } from "./description.ts";
import { cleans, type Shared, START, writes } from "./file-clean.ts";

export { attach, check, setup } from "./file-clean.ts";

export const describe: ScenarioDescription = {
  name: "file-zap",
  summary:
    "a dirty page of a file is taken out of a page table while it is written into and cleaned: nothing is lost",
  cpus: 3,
  mutants: ["zap-flush-late"],
};

const ZAPS = 2;

export function run(kernel: Kernel, _options: object, shared: Shared): void {
  const { cpu, memory, processes } = kernel;
  if (cpu.id === 0) cleans(kernel, shared);
  else if (cpu.id === 1) writes(kernel, shared);
  else {
    memory.waitWhile(shared.begun, -1, 0);
    for (let i = 0; i < ZAPS; i++) {
      processes.calls.madvise(shared.mm, START, PAGE_BYTES, Madvice.DONTNEED);
      cpu.endOperation();
    }
  }
}
