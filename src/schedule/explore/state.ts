/**
 * Shared words of an exploration, inside the control buffer's `serial` blocks.
 *
 * Only the CPU that has the baton touches them, so plain accesses are enough; handing the baton over (an atomic store
 * and a notify) orders them.
 */

import { bug } from "../../memory/bug.ts";
import { Control, CpuControl, cpuControl } from "../../memory/control.ts";
import { float64, struct, word, wordsIn } from "../../memory/struct.ts";

const Shared = struct("explore", {
  /** Number of the present execution, from 1; 0 before the first. */
  execution: word("lock:schedulerLock", "counter"),
  /** Changes with every execution begun; an audit begins each number twice. */
  generation: word("lock:schedulerLock", "counter"),
  /** Executions to do. */
  wanted: word("lock:schedulerLock", "counter"),
  /** 1: the campaign is over, everyone leaves. */
  over: word("atomic"),
  /** 1: an execution failed; everyone unwinds. */
  aborted: word("atomic"),
  /** Bit mask of CPUs that can take a step. */
  enabled: word("lock:schedulerLock", "flags"),
  /** CPUs that are not at rest: their program goes on, or an interrupt is to be taken. */
  unfinished: word("lock:schedulerLock", "counter"),
  /** Steps of this execution when the baton was last handed over. */
  step: word("lock:schedulerLock", "counter"),
  stepLimit: word("lock:schedulerLock"),
  /** Steps that an execution may be expected to take: PCT's estimate of k. */
  horizon: word("lock:schedulerLock", "counter"),
  /** Bit mask of CPUs in a timed wait that has not ended. */
  timed: word("lock:schedulerLock", "flags"),
  /** Audit: 1 while an execution runs the second time, and how the first time went. */
  secondPass: word("lock:schedulerLock", "flags"),
  firstSteps: word("lock:schedulerLock"),
  firstTape: word("lock:schedulerLock"),
  firstHash: word("lock:schedulerLock"),
  /** Entries of the tape of this execution. */
  tapeLength: word("lock:schedulerLock", "counter"),
  /** Entries of the dirty-page list. */
  dirtyPages: word("lock:schedulerLock", "counter"),
  /** PCT: next change point in the sorted list, and how many priorities have been lowered. */
  changePoint: word("lock:schedulerLock", "counter"),
  lowered: word("lock:schedulerLock", "counter"),
  seed: word("lock:schedulerLock"),
  /** Scripts: the step at which the present segment ends. */
  segmentEnd: word("lock:schedulerLock"),
  /** Replay: next entry of the recorded tape, and the step at which it diverged plus 1 (0: it has not). */
  replayAt: word("lock:schedulerLock", "counter"),
  diverged: word("lock:schedulerLock"),
  random0: word("lock:schedulerLock"),
  random1: word("lock:schedulerLock"),
  random2: word("lock:schedulerLock"),
  random3: word("lock:schedulerLock"),
  /** Hash over all executions so far, when wanted. */
  hash: word("lock:schedulerLock"),
  /** Hash of RAM at the snapshot: what the program starts from. */
  startHash: word("lock:schedulerLock"),
  /** Steps, hand-overs of all executions so far. */
  totalSteps: float64("lock:schedulerLock"),
  totalSwitches: float64("lock:schedulerLock"),
  /** Executions that have ended; what was measured when a campaign is cut short. */
  done: word("lock:schedulerLock", "counter"),
  /** PCT change points, as steps. */
  changes: word("lock:schedulerLock"),
});
/** PCT depths up to 16 have 15 change points. */
export const MAX_CHANGES = 16;
if (wordsIn(Shared) + MAX_CHANGES > 64) bug(`the explore block has ${wordsIn(Shared)} words`);

const PerCpu = struct("explore_cpu", {
  /** 1: this CPU has the baton.  Its worker sleeps on this word. */
  baton: word("atomic"),
  status: word("lock:schedulerLock"),
  priority: word("lock:schedulerLock"),
  /** A kick came since the last `park`. */
  kicked: word("lock:schedulerLock"),
  /** The strategy let the timed wait of this CPU run out. */
  timedOut: word("lock:schedulerLock"),
});

export const Status = { RUNNABLE: 1, WAITING: 2, PARKED: 3, ENDED: 4 } as const;
export const STATUS_NAMES: readonly string[] = ["?", "runnable", "waiting", "parked", "ended"];

/** Word indices of the shared block in the control buffer. */
export const explore = shifted(Shared, Control.serial);

export const exploreCpu = PerCpu;

/** First explore word of `cpu` in the control buffer. */
export const exploreCpuBase = (cpu: number): number => cpuControl(cpu) + CpuControl.serial;

/** Explore masks CPUs in one word. */
export const MAX_EXPLORE_CPUS = 31;

/** Buffers that exploration needs beside the machine's own. */
export interface ExploreBuffers {
  /** Pairs (step, cpu): every decision of the present execution. */
  readonly tape: SharedArrayBuffer;
  /** The decisions to replay. */
  readonly replay: SharedArrayBuffer;
  /** One byte a frame: 1 = written since the snapshot, 2 = its old content is saved. */
  readonly dirty: SharedArrayBuffer;
  /** Frames written since the snapshot. */
  readonly dirtyList: SharedArrayBuffer;
  /** RAM as it was at the snapshot, in the frames that were ever written. */
  readonly saved: SharedArrayBuffer;
}

export const MAX_TAPE_ENTRIES = 1 << 18;

/** The offsets moved by `start`; built field by field, so that V8 folds them like a struct's own. */
function shifted<T extends Readonly<Record<string, number>>>(offsets: T, start: number): T {
  const moved: Record<string, number> = {};
  for (const [name, offset] of Object.entries(offsets)) moved[name] = start + offset;
  return Object.freeze(moved) as T;
}
