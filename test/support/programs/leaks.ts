/** Takes objects of every kind, keeps some where the kernel or the program can find them, and loses others. */

import type { Kernel } from "../../../src/machine/kernel.ts";
import { struct, word } from "../../../src/memory/struct.ts";
import { Gfp } from "../../../src/mm/pages/gfp.ts";
import { SlabFlag } from "../../../src/mm/slab/slab-flags.ts";

/** An object with one pointer; what looks like one in `cookie` is none. */
const Link = struct("link", { cookie: word("holder"), next: word("holder", "pointer:link") });
const Anchor = struct("anchor", { first: word("holder", "pointer:link") });

export interface Planted {
  /** Word indices of what nothing refers to. */
  readonly lost: Readonly<Record<string, number>>;
  readonly anchor: number;
}

export function setup({ slabs, heap, pages, perCpu, memory }: Kernel): Planted {
  const links = slabs.create({ name: "links", objectBytes: 8, struct: Link, flags: SlabFlag.STORE_USER });
  const untyped = slabs.create({ name: "untyped", objectBytes: 72 });
  const anchor = pages.getZeroedPage(Gfp.KERNEL);
  const link = (): number => {
    const at = slabs.alloc(links, Gfp.KERNEL);
    memory.fill(at, 2, 0);
    return at;
  };
  const filled = (at: number, words: number): number => {
    memory.fill(at, words, 0);
    return at;
  };
  // A chain from the program's own root: three links, then an object of a cache without a struct, then kmalloc's.
  const chain = [link(), link(), link()];
  memory.write(anchor, chain[0]);
  memory.write(chain[0] + Link.next, chain[1]);
  memory.write(chain[1] + Link.next, chain[2]);
  const middle = filled(slabs.alloc(untyped, Gfp.KERNEL), 18);
  memory.write(chain[2] + Link.next, middle + 5);
  const small = filled(heap.kmalloc(100, Gfp.KERNEL), 25);
  memory.write(middle + 17, small);
  const large = filled(heap.kmalloc(20_000, Gfp.KERNEL), 5000);
  memory.write(small + 3, large + 4000);
  // In a page of which a large block knows, and on one CPU's instance of a per-CPU piece.
  const block = filled(pages.getFreePages(Gfp.KERNEL, 1), 2048);
  memory.write(large + 4999, block);
  const inBlock = filled(heap.kmalloc(64, Gfp.KERNEL), 16);
  memory.write(block + 1500, inBlock);
  const piece = perCpu.alloc(8);
  const ofCpu = filled(heap.kmalloc(40, Gfp.KERNEL), 10);
  memory.write(perCpu.of(piece, 1) + 1, ofCpu);

  // Lost: a link that only a number which is no pointer names, a ring of two, an object, a block.
  const [named, ring, other] = [link(), link(), link()];
  memory.write(chain[0] + Link.cookie, named);
  memory.write(ring + Link.next, other);
  memory.write(other + Link.next, ring);
  const object = filled(slabs.alloc(untyped, Gfp.KERNEL), 18);
  memory.write(object, 0x6b616c);
  const lostLarge = heap.kmalloc(9000, Gfp.KERNEL);
  // Freed and forgotten is not lost.
  heap.kfree(heap.kmalloc(64, Gfp.KERNEL));
  slabs.free(links, link());
  return { anchor, lost: { named, ring, other, object, lostLarge } };
}

export function attach(kernel: Kernel, _options: object, { anchor }: Planted): void {
  kernel.regions.add("anchor", anchor, Anchor);
}

export function run(): void {}
