/**
 * The shape of a pool: every choice that decides which code a worker runs.
 *
 * A worker receives its shape as worker data before any kernel module is imported, so `const checks = shape.checks` at
 * a module's top is a constant that V8 folds.  The main thread and unit tests have `DEFAULT_SHAPE`, with checks on.
 * What the main thread reads (control buffer, CPU states, trace rings) is laid out the same in every shape.  Structures
 * in RAM are read by the pool's own workers only, and `padding` decides how far apart their parts lie.
 */

import { workerData } from "node:worker_threads";

export type Mode = "parallel" | "virtual" | "explore";
export type LockKind = "tas" | "ticket" | "queued" | "pv" | "custom";
/** Per-CPU page lists: 6.12 rules, 6.0 rules, or none. */
export type PageLists = "6.12" | "6.0" | "off";

/** Locks of single VMAs below mmap_lock: in the form of Linux 6.12, in that of 6.15 to 6.18, or none, as before 6.4. */
export type VmaLockKind = "6.12" | "6.18" | "off";

/** The allocator behind object caches. */
export type SlabKind = "slub" | "slab" | "slob" | "sheaves";

/** How CPUs are told to forget translations: by interrupts, or by a message of the hardware (Linux 6.15, AMD). */
export type ShootdownKind = "ipi" | "broadcast";

export interface Shape {
  readonly mode: Mode;
  readonly lock: LockKind;
  /** Module URL of the user's lock when `lock` is `custom`, else "". */
  readonly lockModule: string;
  readonly pageLists: PageLists;
  readonly slab: SlabKind;
  /** Object allocations may be made to fail: mm/slab/failslab. */
  readonly failslab: boolean;
  /** Costly assertions: lock tags, list walks. */
  readonly checks: boolean;
  /** Hold times of locks, beside the waits that are always counted. */
  readonly lockstat: boolean;
  /** Trace rings record every operation, not only waits and interrupts. */
  readonly trace: boolean;
  /** Parts of kernel structures that different CPUs use at once lie on cache lines of their own. */
  readonly padding: boolean;
  /** TLB entries of several address spaces live side by side (CR4.PCIDE). */
  readonly pcid: boolean;
  /** A CPU without a program keeps the last address space loaded. */
  readonly lazyTlb: boolean;
  /** A CPU that has left an address space stays in its mask until a flush finds it there: Linux 6.14. */
  readonly lazyCpumask: boolean;
  readonly shootdown: ShootdownKind;
  /** One flush ends a whole unmapping or change of rights, not every page of it one. */
  readonly tlbBatching: boolean;
  /** What a page fault holds. */
  readonly vmaLock: VmaLockKind;
  /** Named defects switched on in the real code. */
  readonly mutants: readonly string[];
}

export const DEFAULT_SHAPE: Shape = {
  mode: "parallel",
  lock: "pv",
  lockModule: "",
  pageLists: "6.12",
  slab: "slub",
  failslab: false,
  checks: true,
  lockstat: false,
  trace: false,
  padding: true,
  pcid: true,
  lazyTlb: true,
  lazyCpumask: false,
  shootdown: "ipi",
  tlbBatching: true,
  vmaLock: "6.12",
  mutants: [],
};

/** What a worker is given as worker data. */
export interface ShapeCarrier {
  readonly smpsimShape: Shape;
}

const carrier = workerData as ShapeCarrier | null | undefined;

export const shape: Shape = carrier?.smpsimShape ?? DEFAULT_SHAPE;

/** Equal for shapes whose workers run the same code. */
export function shapeKey(s: Shape): string {
  return JSON.stringify([
    s.mode,
    s.lock,
    s.lockModule,
    s.pageLists,
    s.slab,
    s.failslab,
    s.checks,
    s.lockstat,
    s.trace,
    s.padding,
    s.pcid,
    s.lazyTlb,
    s.lazyCpumask,
    s.shootdown,
    s.tlbBatching,
    s.vmaLock,
    s.mutants.toSorted(),
  ]);
}
