/**
 * One CPU maps a page in a block of vm_map_ram while another gives up all blocks with nothing in use: either the block is
 * in use then, or it is gone.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { frameOf, type Pfn } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkVmap } from "../mm/vmap/check-vmap.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "vmap-blocks",
  summary: "A page of a block is mapped while unused blocks are given up; none is given up that is in use",
  cpus: 2,
  memory: "2MiB",
  mutants: ["vmap-block-unlocked"],
};

/** A block that has one dirty page, and is free else. */
export function setup({ vmap, pages }: Kernel): { frame: Pfn } {
  const frame = pages.allocPage(Gfp.KERNEL);
  const address = frame === 0 ? 0 : vmap.vmMapRam([frame]);
  if (address === 0) bug("no memory for a block");
  vmap.vmUnmapRam(address, 1);
  return { frame };
}

export function run(
  { cpu, vmap, virtual, memory }: Kernel,
  _options: object,
  { frame }: { frame: Pfn },
): void {
  if (cpu.id === 1) {
    vmap.purge.reclaim();
    return;
  }
  const address = vmap.vmMapRam([frame]);
  if (address === 0) return;
  virtual.write(address, 1);
  if (memory.read(frameOf(frame)) !== 1) bug("what was written is not in the frame");
}

export function check({ vmap }: Kernel): void {
  checkVmap(vmap);
}
