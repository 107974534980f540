/**
 * Puts the explore mode of one CPU's thread together.
 */

import { DirtyPages } from "./dirty-pages.ts";
import { ExploreMemory } from "./memory.ts";
import type { ExploreBuffers } from "./state.ts";
import { StepLog } from "./step-log.ts";
import { ExploreTurn } from "./turn.ts";

export interface ExploreParts {
  readonly ram: SharedArrayBuffer;
  readonly states: SharedArrayBuffer;
  readonly control: Int32Array;
  readonly explore: ExploreBuffers | null;
  readonly cpu: number;
  readonly cpus: number;
}

export interface ExploreThread {
  readonly turn: ExploreTurn;
  readonly memory: ExploreMemory;
  readonly dirty: DirtyPages;
  readonly tape: Int32Array;
  readonly replay: Int32Array;
  /** The steps of this CPU, on a machine that traces. */
  readonly log: StepLog;
}

export function createExplore(parts: ExploreParts): ExploreThread {
  const buffers = parts.explore;
  if (buffers === null) throw new Error("an explore machine was built without its buffers");
  const tape = new Int32Array(buffers.tape);
  const turn = new ExploreTurn({ control: parts.control, tape, cpu: parts.cpu, cpus: parts.cpus });
  const dirty = new DirtyPages({ ram: parts.ram, states: parts.states, control: parts.control, buffers });
  const memory = new ExploreMemory({ ...parts, turn, dirty });
  const log = new StepLog(turn, parts.cpu);
  memory.logTo(log);
  turn.logTo(log);
  return { turn, memory, dirty, tape, log, replay: new Int32Array(buffers.replay) };
}
