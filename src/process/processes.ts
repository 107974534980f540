/** What one CPU has for address spaces, put together: the kernel's `processes`. */

import type { Cpu } from "../hardware/cpu.ts";
import type { ImageLayout, Slot } from "../memory/image.ts";
import type { SlabCaches } from "../mm/slab/slab-caches.ts";
import type { Functions } from "../sync/functions.ts";
import type { Onces } from "../sync/once.ts";
import type { Rcu } from "../sync/rcu.ts";
import type { RwSemaphores } from "../sync/rwsem.ts";
import type { SpinLocks } from "../sync/spinlock.ts";
import { AddressSpaces } from "./address-spaces.ts";
import { AnonVmas } from "./anon-vma.ts";
import { MapleTrees } from "./maple-tree.ts";
import { ProcessCaches } from "./process-caches.ts";
import { MmapLocks } from "./vma-lock.ts";
import { VmaMerge } from "./vma-merge.ts";
import { Vmas } from "./vmas.ts";

export interface ProcessParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly rwsems: RwSemaphores;
  readonly functions: Functions;
  readonly onces: Onces;
  readonly rcu: Rcu;
  readonly slabs: SlabCaches;
  readonly slots: ProcessSlots;
}

export interface ProcessSlots {
  readonly caches: Slot;
  readonly maple: Slot;
}

export class Processes {
  declare readonly mapleTrees: MapleTrees;
  declare readonly mmapLocks: MmapLocks;
  declare readonly anonVmas: AnonVmas;
  declare readonly vmas: Vmas;
  declare readonly merge: VmaMerge;
  declare readonly spaces: AddressSpaces;
  declare private readonly caches: ProcessCaches;
  declare private readonly parts: ProcessParts;

  constructor(parts: ProcessParts) {
    const { memory } = parts.cpu;
    this.parts = parts;
    this.caches = new ProcessCaches(memory, parts.slots.caches);
    this.mapleTrees = new MapleTrees({ ...parts, slot: parts.slots.maple });
    const own = { ...parts, memory, caches: this.caches, mapleTrees: this.mapleTrees };
    this.mmapLocks = new MmapLocks(own);
    this.anonVmas = new AnonVmas(own);
    this.vmas = new Vmas({ ...own, mmapLocks: this.mmapLocks, anonVmas: this.anonVmas });
    this.merge = new VmaMerge(this.vmas);
    this.spaces = new AddressSpaces({ ...own, vmas: this.vmas });
  }

  static declare(layout: ImageLayout): ProcessSlots {
    return { caches: ProcessCaches.declare(layout), maple: MapleTrees.declare(layout) };
  }

  /** Makes the object caches, if nobody has: before the first process.  @may-sleep */
  start(): void {
    const { onces, slabs } = this.parts;
    const { mapleTrees, anonVmas } = this;
    this.caches.init({ onces, slabs, mapleTrees, constructAnonVma: anonVmas.construct });
  }
}
