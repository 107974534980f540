/** Flags of a VMA, with Linux's values.  Linux: include/linux/mm.h, fs/proc/task_mmu.c show_smap_vma_flags. */

export const VmFlag = {
  READ: 0x1,
  WRITE: 0x2,
  EXEC: 0x4,
  SHARED: 0x8,
  /** What mprotect may allow. */
  MAYREAD: 0x10,
  MAYWRITE: 0x20,
  MAYEXEC: 0x40,
  MAYSHARE: 0x80,
  /** The stack: grows towards lower addresses. */
  GROWSDOWN: 0x100,
  /** Frames without a struct page's counts. */
  PFNMAP: 0x400,
  LOCKED: 0x2000,
  IO: 0x4000,
  SEQ_READ: 0x8000,
  RAND_READ: 0x10000,
  DONTCOPY: 0x20000,
  DONTEXPAND: 0x40000,
  /** Locked as pages come, not before. */
  LOCKONFAULT: 0x80000,
  /** Counts towards what is committed. */
  ACCOUNT: 0x100000,
  NORESERVE: 0x200000,
  HUGETLB: 0x400000,
  WIPEONFORK: 0x2000000,
  DONTDUMP: 0x4000000,
  SOFTDIRTY: 0x8000000,
  MIXEDMAP: 0x10000000,
  HUGEPAGE: 0x20000000,
  NOHUGEPAGE: 0x40000000,
} as const;

const f = VmFlag;

/** Linux: VM_ACCESS_FLAGS. */
export const VM_ACCESS = f.READ | f.WRITE | f.EXEC;
/** VMAs that are never merged.  Linux: VM_SPECIAL. */
export const VM_SPECIAL = f.IO | f.DONTEXPAND | f.PFNMAP | f.MIXEDMAP;
/** Not compared when VMAs are merged. */
export const VM_IGNORED_IN_MERGE = f.SOFTDIRTY;

/** Of a protection as mmap and mprotect take it. */
export const Prot = { READ: 1, WRITE: 2, EXEC: 4, GROWSDOWN: 0x01000000, GROWSUP: 0x02000000 } as const;

/** The two letters of each flag in smaps' VmFlags, in its order. */
export const VM_FLAG_LETTERS: ReadonlyArray<readonly [flag: number, letters: string]> = [
  [f.READ, "rd"],
  [f.WRITE, "wr"],
  [f.EXEC, "ex"],
  [f.SHARED, "sh"],
  [f.MAYREAD, "mr"],
  [f.MAYWRITE, "mw"],
  [f.MAYEXEC, "me"],
  [f.MAYSHARE, "ms"],
  [f.GROWSDOWN, "gd"],
  [f.PFNMAP, "pf"],
  [f.LOCKED, "lo"],
  [f.IO, "io"],
  [f.SEQ_READ, "sr"],
  [f.RAND_READ, "rr"],
  [f.DONTCOPY, "dc"],
  [f.DONTEXPAND, "de"],
  [f.LOCKONFAULT, "lf"],
  [f.ACCOUNT, "ac"],
  [f.NORESERVE, "nr"],
  [f.HUGETLB, "ht"],
  [f.WIPEONFORK, "wf"],
  [f.DONTDUMP, "dd"],
  [f.SOFTDIRTY, "sd"],
  [f.MIXEDMAP, "mm"],
  [f.HUGEPAGE, "hg"],
  [f.NOHUGEPAGE, "nh"],
];
