/**
 * Every CPU takes areas of all kinds and sizes, stamps every page through the mapping, verifies the stamps through the
 * mapping and through the frames, hands some areas to other CPUs through a mailbox, and frees its own and what it was
 * handed.  At the end nothing is busy, and all pages are back but for tables and what caches keep.
 */
import type { Kernel } from "../../../src/machine/kernel.ts";
import type { ProgramOptions } from "../../../src/machine/program.ts";
import { bug } from "../../../src/memory/bug.ts";
import { frameOf, PAGE_BYTES, type Pfn } from "../../../src/memory/units.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { checkVmap } from "../../../src/mm/vmap/check-vmap.ts";
import { VMALLOC_START } from "../../../src/mm/vmap/vmalloc-space.ts";
import { VmapArea } from "../../../src/mm/vmap/vmap-area.ts";

/** Lazy pages from which on they are purged: soon. */
const LAZY = 100;
const HELD = 24;
const FRAMES = 12;
const MAILBOXES = 16;

interface Shared {
  /** A word a box: the area's page number in the range times 64, plus its pages. */
  readonly mailboxes: number;
}

interface Piece {
  readonly address: number;
  readonly pages: number;
  readonly kind: "vmalloc" | "vmap" | "ram";
}

export function setup({ pages, vmap }: Kernel): Shared {
  vmap.start();
  vmap.purge.setLimit(LAZY);
  return { mailboxes: pages.getZeroedPage(Gfp.KERNEL) };
}

export function run(kernel: Kernel, _options: ProgramOptions, shared: unknown): number {
  const { cpu, memory, pages, vmap, virtual } = kernel;
  const { mailboxes } = shared as Shared;
  const { random } = cpu;
  const own: Pfn[] = Array.from({ length: FRAMES }, () => pages.allocPage(Gfp.KERNEL));
  const held: Piece[] = [];
  let remote = 0;

  const stampOf = (address: number, page: number): number => Math.floor(address / PAGE_BYTES + page) | 0;
  const stamp = ({ address, pages: count }: Piece): void => {
    for (let page = 0; page < count; page++)
      virtual.write(address + page * PAGE_BYTES, stampOf(address, page));
  };
  const verify = ({ address, pages: count, kind }: Piece): void => {
    for (let page = 0; page < count; page++) {
      const found = virtual.read(address + page * PAGE_BYTES);
      if (found !== stampOf(address, page))
        bug(
          `cpu ${cpu.id}: ${kind} page ${page} of ${address}: ${found}, it was stamped ${stampOf(address, page)}`,
        );
    }
    if (kind !== "vmalloc") return;
    const vm = memory.read(vmap.areas.find(address) + VmapArea.vm);
    for (let page = 0; page < count; page++) {
      const found = memory.read(frameOf(vmap.frames.get(vm, page)));
      if (found !== stampOf(address, page))
        bug(`cpu ${cpu.id}: frame of page ${page} of ${address} holds ${found}`);
    }
  };
  const keep = (piece: Piece): void => {
    if (piece.address === 0) return;
    stamp(piece);
    held.push(piece);
  };
  /** Frames of one's own are mapped for a moment only: two mappings of a frame share its stamp. */
  const mapOwn = (): void => {
    const count = 1 + random.below(FRAMES);
    const frames = own.slice(0, count);
    const kind = random.below(3) === 0 ? "vmap" : "ram";
    const address = kind === "vmap" ? vmap.vmap(frames) : vmap.vmMapRam(frames);
    if (address === 0) return;
    const piece: Piece = { address, pages: count, kind };
    stamp(piece);
    frames.forEach((pfn, page) => {
      if (memory.read(frameOf(pfn)) !== stampOf(address, page))
        bug(`cpu ${cpu.id}: frame ${pfn} was not written`);
    });
    verify(piece);
    if (kind === "vmap") vmap.vunmap(address);
    else vmap.vmUnmapRam(address, count);
  };
  const free = (piece: Piece): void => {
    verify(piece);
    vmap.vfree(piece.address);
  };
  const send = (piece: Piece): void => {
    const box = mailboxes + random.below(MAILBOXES);
    const number = (piece.address - VMALLOC_START) / PAGE_BYTES;
    const before = memory.exchange(box, number * 64 + piece.pages);
    if (before === 0) return;
    remote++;
    const address = VMALLOC_START + Math.floor(before / 64) * PAGE_BYTES;
    free({ address, pages: before % 64, kind: "vmalloc" });
  };

  for (let done = 0; kernel.more(done); done++) {
    const choice = random.below(100);
    if (choice < 40 && held.length < HELD) {
      const count = 1 + random.below(random.below(8) === 0 ? 40 : 4);
      const align = random.below(10) === 0 ? PAGE_BYTES << random.below(8) : PAGE_BYTES;
      keep({ address: vmap.allocate(count * PAGE_BYTES, { align }), pages: count, kind: "vmalloc" });
    } else if (choice < 55) mapOwn();
    else if (choice < 75 && held.length > 0) free(held.splice(random.below(held.length), 1)[0]);
    else if (choice < 98 && held.length > 0) send(held.splice(random.below(held.length), 1)[0]);
    else if (random.below(4) === 0) vmap.vmUnmapAliases();
    else if (random.below(8) === 0) vmap.purge.reclaim();
    cpu.endOperation();
  }
  for (const piece of held) free(piece);
  for (const pfn of own) pages.freePage(pfn);
  return remote;
}

export function check(
  { memory, pages, vmap, cpus, rcu }: Kernel,
  _options: ProgramOptions,
  values: readonly unknown[],
  shared: unknown,
): void {
  const { mailboxes } = shared as Shared;
  if (cpus > 1 && values.some((remote) => (remote as number) === 0)) bug("a CPU freed nothing of others");
  for (let box = 0; box < MAILBOXES; box++) {
    const left = memory.read(mailboxes + box);
    if (left !== 0) vmap.vfree(VMALLOC_START + Math.floor(left / 64) * PAGE_BYTES);
  }
  pages.freePagesAt(mailboxes, 0);
  vmap.purge.reclaim();
  rcu.barrier();
  const { areas, mappedPages, blocks } = checkVmap(vmap);
  if (areas.busy + areas.lazy + areas.pool + mappedPages + blocks > 0 || areas.free !== 1)
    bug(`at the end: ${JSON.stringify({ ...areas, mappedPages, blocks })}`);
}
