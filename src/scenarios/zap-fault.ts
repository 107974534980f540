/**
 * One CPU gives pages back (madvise DONTNEED) while another of the program writes to them, and thereby replaces those that a
 * child shares: of two changes of one entry the second sees the first, so no page is lost, and none goes twice.
 */

import type { Kernel } from "../machine/kernel.ts";
import { bug } from "../memory/bug.ts";
import { PAGE_BYTES } from "../memory/units.ts";
import { checkSpaces } from "../process/check-spaces.ts";
import { Madvice } from "../process/madvise.ts";
import { MapFlag } from "../process/mmap.ts";
import { type MmRef, MmStruct } from "../process/vm-area.ts";
import { Prot } from "../process/vm-flags.ts";
import type { ScenarioDescription } from "./description.ts";

export const describe: ScenarioDescription = {
  name: "zap-fault",
  summary:
    "pages are given back while another CPU's writes replace them by copies: none is lost, none goes twice",
  cpus: 2,
  mutants: ["zap-unlocked"],
};

const START = 2 ** 40;
const PAGES = 2;
const BYTES = PAGES * PAGE_BYTES;
const BEFORE = 4;
const VALUE = 5;

interface Shared {
  readonly parent: MmRef;
  readonly child: MmRef;
}

export function setup({ processes, paging }: Kernel): Shared {
  processes.start();
  const parent = processes.spaces.make();
  const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED;
  const request = { bytes: BYTES, prot: Prot.READ | Prot.WRITE, flags, file: null, offset: 0 };
  if (processes.calls.mmap(parent, { address: START, ...request }) !== START) bug("no memory for a VMA");
  processes.use(parent);
  for (let page = 0; page < PAGES; page++) paging.user.write(START + page * PAGE_BYTES, BEFORE);
  const child = processes.calls.fork(parent);
  processes.use(0);
  if (child < 0) bug("no memory for a child");
  return { parent, child };
}

export function attach({ regions }: Kernel, _options: object, { parent, child }: Shared): void {
  regions.add("parent", parent, MmStruct);
  regions.add("child", child, MmStruct);
}

export function run({ cpu, paging, processes }: Kernel, _options: object, { parent }: Shared): void {
  processes.use(parent);
  if (cpu.id === 0) processes.calls.madvise(parent, START, BYTES, Madvice.DONTNEED);
  else for (let page = 0; page < PAGES; page++) paging.user.write(START + page * PAGE_BYTES, VALUE);
  processes.use(0);
  cpu.endOperation();
}

export function check(kernel: Kernel, _options: object, _values: unknown, { parent, child }: Shared): void {
  const { processes, paging } = kernel;
  checkSpaces(kernel);
  for (let page = 0; page < PAGES; page++) {
    const address = START + page * PAGE_BYTES;
    processes.use(parent);
    const own = paging.user.read(address);
    if (own !== 0 && own !== VALUE) bug(`${VALUE} was written, or given back; there is ${own}`);
    processes.use(child);
    const shared = paging.user.read(address);
    if (shared !== BEFORE) bug(`the child reads ${shared}, its parent had ${BEFORE} when it forked`);
  }
  processes.use(0);
}
