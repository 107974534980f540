/**
 * One CPU frees an area and purges; another, whose TLB knows the area, takes a new one at, perhaps, the same address: what
 * it writes there must reach the new frame, not the old one.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { frameOf, PAGE_BYTES, type Pointer } from "../memory/units.ts";
import { Gfp } from "../mm/pages/gfp.ts";
import { checkVmap } from "../mm/vmap/check-vmap.ts";
import { formatAddress } from "../mm/vmap/vmalloc-space.ts";
import { VmapArea } from "../mm/vmap/vmap-area.ts";
import { VmapGlobals } from "../mm/vmap/vmap-globals.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "vmap-lazy-purge",
  summary:
    "Freed addresses are purged while they are wanted again; what is written there reaches its own frame",
  cpus: 2,
  memory: "2MiB",
  mutants: ["vmap-reuse-before-flush"],
};

const UNSEEN = 0;
const SEEN = 1;

interface Shared {
  readonly old: number;
  /** Turns SEEN when the other CPU has used the old area. */
  readonly flag: Pointer;
}

export function setup({ vmap, pages }: Kernel): Shared {
  const old = vmap.vmalloc(PAGE_BYTES);
  const flag = pages.getZeroedPage(Gfp.KERNEL);
  if (old === 0 || flag === 0) bug("no memory for an area of one page");
  return { old, flag };
}

export function attach({ regions, vmap }: Kernel): void {
  regions.add("vmap_globals", vmap.space.globals, VmapGlobals);
}

export function run({ cpu, vmap, virtual, memory }: Kernel, _options: object, { old, flag }: Shared): void {
  if (cpu.id === 0) {
    memory.waitWhile(flag, -1, UNSEEN);
    vmap.vfree(old);
    vmap.purge.reclaim();
    return;
  }
  virtual.write(old, 1);
  memory.store(flag, SEEN);
  memory.wake(flag);
  const again = vmap.vmalloc(PAGE_BYTES);
  if (again === 0) return;
  virtual.write(again, 2);
  const pfn = vmap.frames.get(memory.read(vmap.areas.find(again) + VmapArea.vm), 0);
  const found = memory.read(frameOf(pfn));
  if (found !== 2)
    bug(`what was written at ${formatAddress(again)} is not in its frame ${pfn}: there is ${found}`);
  vmap.vfree(again);
}

export function check({ vmap }: Kernel): void {
  checkVmap(vmap);
}
