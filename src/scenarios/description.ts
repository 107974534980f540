/**
 * What a scenario says about itself.
 *
 * A scenario is one file of this folder: a kernel module whose `run` is a few concurrent operations, small enough that
 * thousands of interleavings can be tried, and whose `check` says at rest what must hold.  It also exports `describe`.
 */

import type { ShootdownKind, SlabKind, VmaLockKind } from "../memory/shape.ts";

export interface ScenarioDescription {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** CPUs it runs on unless told otherwise. */
  readonly cpus: number;
  /** CPUs below which it makes no sense.  Default `cpus`. */
  readonly minCpus?: number;
  /** RAM, as "2MiB".  Default 1MiB. */
  readonly memory?: string;
  /** NUMA nodes; all CPUs are on the first.  Default 1. */
  readonly nodes?: number;
  /** The allocator of objects.  Default SLUB. */
  readonly slab?: SlabKind;
  /** How CPUs are told to forget translations.  Default by interrupts. */
  readonly shootdown?: ShootdownKind;
  /** What page faults hold.  Default the VMA's lock in the form of Linux 6.12. */
  readonly vmaLock?: VmaLockKind;
  /** Defects in the real code that it is meant to find. */
  readonly mutants: readonly string[];
  /** Steps after which an execution counts as a livelock.  Default 20,000. */
  readonly stepLimit?: number;
}
