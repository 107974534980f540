/** Broadcast invalidation on one thread: run by in-shape.ts, with plain data as results. */

import { PAGE_BYTES } from "../../src/memory/units.ts";
import { VmEvent } from "../../src/mm/pages/counters.ts";
import { MmContext } from "../../src/mm/pgtable/mm-context.ts";
import { UserFault } from "../../src/mm/shootdown/user-access.ts";
import { AddressSpace, BASE } from "./address-spaces.ts";
import { kernelsOf } from "./kernels.ts";

const CALL_FUNCTION = 2;

function machine(cpus: number) {
  const { kernels, check } = kernelsOf({ cpus });
  const space = new AddressSpace(kernels[0]);
  for (const kernel of kernels) kernel.paging.tlb.switchMm(space.mm);
  const ipis = (): number => kernels.reduce((sum, { cpu }) => sum + cpu.interruptsTaken(CALL_FUNCTION), 0);
  const word = (field: number): number => kernels[0].memory.read(space.mm + field);
  const asid = (): number => word(MmContext.globalAsid);
  return { kernels, space, check, ipis, asid, word };
}

const faults = (access: () => unknown): boolean => {
  try {
    access();
  } catch (error) {
    if (error instanceof UserFault) return true;
    throw error;
  }
  return false;
};

/** What `flushes` unmappings of a page that all CPUs know cost: interrupts of each, the ASID after each. */
function transition(cpus: number): { ipis: number[]; asids: number[]; stale: number; remote: number } {
  const { kernels, space, check, ipis, asid } = machine(cpus);
  const { vmstat } = kernels[0].pages;
  const taken: number[] = [];
  const asids: number[] = [];
  let stale = 0;
  for (let i = 0; i < 4; i++) {
    space.map(BASE, i);
    for (const { paging } of kernels) paging.user.read(BASE);
    const before = ipis();
    space.unmap(BASE);
    taken.push(ipis() - before);
    asids.push(asid());
    for (const { paging } of kernels) if (!faults(() => paging.user.read(BASE))) stale++;
    check();
  }
  const remote = vmstat.eventTotal(VmEvent.nr_tlb_remote_flush);
  for (const { paging } of kernels) paging.tlb.switchMm(paging.tlb.initMm);
  space.end();
  check();
  return { ipis: taken, asids, stale, remote };
}
/** A target whose interrupts are off. */
function withInterruptsOff(): { readWhileWaiting: number[]; faultsAfter: boolean; irqsOn: boolean } {
  const { kernels, space, check } = machine(2);
  const [sender, target] = kernels;
  sender.paging.asids.use(space.mm);
  space.map(BASE + PAGE_BYTES, 5);
  for (const { paging } of kernels) paging.user.read(BASE + PAGE_BYTES);
  // both have gone over to the global number
  space.unmap(BASE + PAGE_BYTES);
  space.map(BASE, 77);
  target.paging.user.read(BASE);
  const flags = target.cpu.irqSave();
  const readWhileWaiting: number[] = [];
  const { relax } = sender.cpu.turn;
  sender.cpu.turn.relax = () => {
    // between the message and the target's next poll point it may still use its entry
    if (readWhileWaiting.length === 0 && target.cpu.tlb.knowsIn(BASE, PAGE_BYTES))
      readWhileWaiting.push(target.cpu.irqsEnabled ? 1 : 0);
    relax();
  };
  space.unmap(BASE);
  const faultsAfter = faults(() => target.paging.user.read(BASE));
  const irqsOn = target.cpu.irqsEnabled;
  target.cpu.irqRestore(flags);
  check();
  return { readWhileWaiting, faultsAfter, irqsOn };
}

/** Numbers are few: what is known under one must be gone before another address space gets it. */
function reuse(): { asids: number[]; resets: number; reads: number[] } {
  const { kernels, check } = kernelsOf({ cpus: 2 });
  const [kernel, other] = kernels;
  const { asids: numbers, tlb } = kernel.paging;
  numbers.format(8);
  const asids: number[] = [];
  const reads: number[] = [];
  for (let i = 0; i < 6; i++) {
    const space = new AddressSpace(kernel);
    numbers.use(space.mm);
    space.map(BASE, i);
    for (const { paging } of [kernel, other]) {
      paging.tlb.switchMm(space.mm);
      reads.push(paging.user.read(BASE));
    }
    asids.push(kernel.memory.read(space.mm + MmContext.globalAsid));
    check();
    other.paging.tlb.switchMm(other.paging.tlb.initMm);
    tlb.switchMm(tlb.initMm);
    space.end();
  }
  const resets = kernel.memory.read(numbers.resetsAt);
  return { asids, resets, reads };
}

/** Kernel addresses: no interrupt, and every CPU has forgotten them. */
function kernelRange(): { ipis: number; knows: boolean[]; value: number } {
  const { kernels, ipis, check } = machine(3);
  const { vmap, paging } = kernels[0];
  const address = vmap.vmalloc(2 * PAGE_BYTES);
  for (const { virtual } of kernels) virtual.write(address, 9);
  const before = ipis();
  paging.shootdown.flushKernelRange(address, address + 2 * PAGE_BYTES);
  const knows = kernels.map(({ cpu }) => cpu.tlb.knowsIn(address, 2 * PAGE_BYTES));
  paging.shootdown.flushKernelRange(address, address + 64 * PAGE_BYTES);
  paging.shootdown.flushAll();
  for (const { cpu } of kernels) knows.push(cpu.tlb.entries().length > 0);
  const count = ipis() - before;
  const value = kernels[2].virtual.read(address);
  check();
  return { ipis: count, knows, value };
}

/** A lazy CPU, and one that has gone elsewhere and comes back. */
function comeAndGo(): { ipis: number; walks: number[]; values: number[] } {
  const { kernels, space, ipis, check } = machine(3);
  const [first, lazy, away] = kernels;
  first.paging.asids.use(space.mm);
  for (const { paging } of kernels) paging.tlb.switchMm(space.mm);
  space.map(BASE, 1);
  space.map(BASE + PAGE_BYTES, 2);
  for (const { paging } of kernels) {
    paging.user.read(BASE);
    paging.user.read(BASE + PAGE_BYTES);
  }
  space.unmap(BASE - PAGE_BYTES, BASE);
  lazy.paging.tlb.enterLazy();
  away.paging.tlb.switchMm(away.paging.tlb.initMm);
  const before = ipis();
  space.unmap(BASE);
  space.map(BASE, 3);
  const count = ipis() - before;
  const walks: number[] = [];
  const values: number[] = [];
  for (const { paging, cpu } of [lazy, away]) {
    const start = cpu.tlb.counts.walks;
    paging.tlb.switchMm(space.mm);
    values.push(paging.user.read(BASE), paging.user.read(BASE + PAGE_BYTES));
    // only the page that was flushed is walked to
    walks.push(cpu.tlb.counts.walks - start);
  }
  check();
  return { ipis: count, walks, values };
}

/** All of it, on one thread. */
export const everything = () => ({
  onThree: transition(3),
  onFour: transition(4),
  withInterruptsOff: withInterruptsOff(),
  reuse: reuse(),
  kernelRange: kernelRange(),
  comeAndGo: comeAndGo(),
});
