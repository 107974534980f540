/**
 * Every CPU holds blocks of all sizes from its malloc, and frees one and takes another at random: the heap grows, has holes, and is
 * trimmed; large blocks are mappings.
 *
 * Sizes are powers of two, all alike frequent, and something between; a block's first and last word say whose it is.
 */

import { bug } from "../memory/bug.ts";
import { WORD_BYTES } from "../memory/units.ts";
import type { WorkloadDescription } from "./description.ts";
import { heapOf, placeHeaps, takeBlock } from "./parts/heap-moves.ts";
import type { SpaceLoop, SpacePart } from "./parts/space-workload.ts";
import { spaceWorkload } from "./parts/space-workload.ts";
import { MODE_OPTION } from "./parts/user-space.ts";

export const describe: WorkloadDescription = {
  name: "malloc-mix",
  summary:
    "Every CPU takes and frees blocks of all sizes by a malloc like glibc's, and checks what is in them.",
  phases: ["malloc"],
  operation: "one free and one malloc, with the block's ends written",
  options: {
    ...MODE_OPTION,
    held: { type: "integer", default: 24, min: 1, max: 4096, help: "blocks that each CPU holds" },
    sizes: { type: "integer", default: 13, min: 1, max: 20, help: "sizes: from 32 bytes to 32 * 2^n" },
  },
  explore: { operations: 3, options: { held: 2 } },
};

const SMALLEST = 32;

interface Block {
  readonly address: number;
  /** Bytes from its start to its last word. */
  readonly last: number;
  readonly stamp: number;
}

export const { setup, attach, run, check } = spaceWorkload({
  describe,
  regions: 0,
  prepare: placeHeaps,
  begin: mixOfSizes,
});

function mixOfSizes(part: SpacePart): SpaceLoop {
  const { kernel, options } = part;
  const { random } = kernel.cpu;
  const { user } = kernel.paging;
  const heap = heapOf(part);
  const held: (Block | null)[] = new Array<Block | null>(options.held as number).fill(null);
  let count = 0;
  const take = (): Block => {
    const base = SMALLEST * 2 ** random.below(options.sizes as number);
    const size = base + random.below(base / WORD_BYTES) * WORD_BYTES;
    const address = takeBlock(part, heap, size);
    const stamp = ((++count & 0x3f_ffff) << 8) | kernel.cpu.id;
    const last = size - WORD_BYTES;
    user.write(address, stamp);
    user.write(address + last, stamp);
    return { address, last, stamp };
  };
  const give = ({ address, last, stamp }: Block): void => {
    for (const at of [address, address + last]) {
      const found = user.read(at);
      if (found !== stamp)
        bug(`cpu ${kernel.cpu.id}: the block at 0x${address.toString(16)} holds ${found}, expected ${stamp}`);
    }
    heap.free(address);
  };
  return {
    step: () => {
      const slot = random.below(held.length);
      const old = held[slot];
      if (old !== null) give(old);
      held[slot] = take();
      return 1;
    },
    end: () => {
      for (const block of held) if (block !== null) give(block);
      heap.finish();
    },
  };
}
