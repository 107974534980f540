/**
 * The object caches of address spaces, made when the first process is.
 *
 * Linux: kernel/fork.c proc_caches_init, mm/rmap.c anon_vma_init.  Differs: at the first use, not at boot.
 */

import { bug } from "../memory/bug.ts";
import type { ImageLayout, Slot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { shape } from "../memory/shape.ts";
import { embed, struct, word, wordsIn } from "../memory/struct.ts";
import { type Pfn, type Pointer, WORD_BYTES } from "../memory/units.ts";
import { Gfp, GfpFlag } from "../mm/pages/gfp.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import type { SlabCaches } from "../mm/slab/slab-caches.ts";
import { SlabFlag } from "../mm/slab/slab-flags.ts";
import type { FunctionId } from "../sync/functions.ts";
import { Once, type Onces } from "../sync/once.ts";
import { Inode, OpenFile, XaNode } from "./file-layout.ts";
import type { MapleTrees } from "./maple-tree.ts";
import { AnonVma, AnonVmaChain, MmStruct, VmArea, VmaLock } from "./vm-area.ts";

const Globals = struct("process_caches", {
  once: embed(Once, "atomic"),
  mm: word("boot", "pointer:kmem_cache"),
  vma: word("boot", "pointer:kmem_cache"),
  vmaLock: word("boot", "pointer:kmem_cache"),
  anonVma: word("boot", "pointer:kmem_cache"),
  chain: word("boot", "pointer:kmem_cache"),
  file: word("boot", "pointer:kmem_cache"),
  inode: word("boot", "pointer:kmem_cache"),
  xaNode: word("boot", "pointer:kmem_cache"),
  /** Frame of zeros, mapped where only reading is allowed.  Linux: empty_zero_page. */
  zeroPage: word("boot", "pfn"),
});

const bytes = (layout: object): number => wordsIn(layout) * WORD_BYTES;
const { HWCACHE_ALIGN, TYPESAFE_BY_RCU } = SlabFlag;

/** Counted VMAs are freed without a grace period, and faults write each one's own line. */
const VMA_CACHE_FLAGS = shape.vmaLock === "6.18" ? HWCACHE_ALIGN | TYPESAFE_BY_RCU : 0;

const CACHES = [
  { field: Globals.mm, name: "mm_struct", objectBytes: bytes(MmStruct), flags: HWCACHE_ALIGN },
  { field: Globals.vma, name: "vm_area_struct", objectBytes: bytes(VmArea), flags: VMA_CACHE_FLAGS },
  { field: Globals.vmaLock, name: "vma_lock", objectBytes: bytes(VmaLock), flags: HWCACHE_ALIGN },
  { field: Globals.anonVma, name: "anon_vma", objectBytes: bytes(AnonVma), flags: TYPESAFE_BY_RCU },
  { field: Globals.chain, name: "anon_vma_chain", objectBytes: bytes(AnonVmaChain) },
  { field: Globals.file, name: "filp", objectBytes: bytes(OpenFile) },
  { field: Globals.inode, name: "shmem_inode_cache", objectBytes: bytes(Inode) },
  { field: Globals.xaNode, name: "radix_tree_node", objectBytes: bytes(XaNode) },
] as const;

export class ProcessCaches {
  declare private readonly memory: Memory;
  declare private readonly at: Pointer;

  constructor(memory: Memory, slot: Slot) {
    this.memory = memory;
    this.at = slot.address;
  }

  static declare(layout: ImageLayout): Slot {
    return layout.place("process_caches", Globals);
  }

  /** Makes them, if nobody has.  @may-sleep */
  init(parts: {
    readonly onces: Onces;
    readonly slabs: SlabCaches;
    readonly mapleTrees: MapleTrees;
    readonly pages: PageAllocator;
    readonly beginAccounting: () => void;
    readonly formatFiles: () => void;
    /** Runs on each new anon_vma: its lock stays one while the object is freed and given out again. */
    readonly constructAnonVma: FunctionId;
  }): void {
    parts.onces.call(this.at + Globals.once, () => {
      const zeroPage = parts.pages.allocPage(Gfp.KERNEL | GfpFlag.ZERO);
      if (zeroPage === 0) bug("no memory for the page of zeros");
      this.memory.write(this.at + Globals.zeroPage, zeroPage);
      parts.beginAccounting();
      parts.formatFiles();
      parts.mapleTrees.init();
      for (const { field, ...options } of CACHES) {
        const construct = field === Globals.anonVma ? { construct: parts.constructAnonVma } : {};
        const cache = parts.slabs.create({ ...options, ...construct });
        if (cache === 0) bug(`no memory for the object cache ${options.name}`);
        this.memory.write(this.at + field, cache);
      }
    });
  }

  get mm(): Pointer {
    return this.memory.read(this.at + Globals.mm);
  }
  get vma(): Pointer {
    return this.memory.read(this.at + Globals.vma);
  }
  get vmaLock(): Pointer {
    return this.memory.read(this.at + Globals.vmaLock);
  }
  get anonVma(): Pointer {
    return this.memory.read(this.at + Globals.anonVma);
  }
  get file(): Pointer {
    return this.memory.read(this.at + Globals.file);
  }
  get inode(): Pointer {
    return this.memory.read(this.at + Globals.inode);
  }
  get xaNode(): Pointer {
    return this.memory.read(this.at + Globals.xaNode);
  }
  get zeroPage(): Pfn {
    return this.memory.read(this.at + Globals.zeroPage);
  }
  get chain(): Pointer {
    return this.memory.read(this.at + Globals.chain);
  }
}
