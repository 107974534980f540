/**
 * A spinlock from a user's own file.
 *
 * The file imports only types from smpsim and exports `createLock(cpu, memory)`, which is called once on every CPU and
 * returns that CPU's lock functions.  Each lock has two words of its own, `word` and `extra`, both 0 in a new lock;
 * preemption, interrupts, owner checks and statistics are done around it.  A lock that waits calls
 * `memory.waitWhile(word, mask, value)`, and whoever stores what ends such a wait calls `memory.wake(word)`.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { UsageError } from "../memory/bug.ts";
import type { Memory } from "../memory/memory.ts";
import { shape } from "../memory/shape.ts";
import type { Pointer } from "../memory/units.ts";
import type { SpinAlgorithm } from "./spin-algorithm.ts";
import { SpinLock } from "./spinlock-layout.ts";

const spinlock = SpinLock;

export interface CustomLock {
  /** Takes the lock, however long that takes. */
  lock(word: Pointer, extra: Pointer): void;
  /** Takes the lock if that needs no waiting.  Without it every `spin_trylock` of the kernel is refused. */
  tryLock?(word: Pointer, extra: Pointer): boolean;
  unlock(word: Pointer, extra: Pointer): void;
}

export type CreateLock = (cpu: Cpu, memory: Memory) => CustomLock;

const VALID =
  "it must export a function createLock(cpu, memory) that returns { lock(word, extra), unlock(word, extra) } " +
  "and may add tryLock(word, extra): boolean";

/** Loads the user's module; a UsageError says what it must export. */
export async function loadCreateLock(url: string): Promise<CreateLock> {
  if (url === "") throw new UsageError(`lock kind custom needs a lock module: ${VALID}`);
  let module: { createLock?: unknown };
  try {
    module = (await import(url)) as { createLock?: unknown };
  } catch (error) {
    throw new UsageError(`lock module ${url} cannot be loaded: ${(error as Error).message}`);
  }
  if (typeof module.createLock !== "function") {
    const found = Object.keys(module).join(", ") || "nothing";
    throw new UsageError(`lock module ${url} exports ${found}: ${VALID}`);
  }
  return module.createLock as CreateLock;
}

/** The user's lock factory when the shape asks for it. */
export const shapedCreateLock: CreateLock | null =
  shape.lock === "custom" ? await loadCreateLock(shape.lockModule) : null;

/** A user's lock as an algorithm of the engine. */
export class UserLock implements SpinAlgorithm {
  private readonly memory: Memory;
  private readonly user: CustomLock;

  constructor(cpu: Cpu, createLock: CreateLock) {
    this.memory = cpu.memory;
    this.user = createLock(cpu, cpu.memory);
    for (const name of ["lock", "unlock"] as const) {
      if (typeof this.user?.[name] !== "function")
        throw new UsageError(`createLock of the lock module returned no function ${name}: ${VALID}`);
    }
  }

  tryLock(lock: Pointer): boolean {
    const { user } = this;
    return user.tryLock?.(lock, lock + spinlock.extra) ?? false;
  }

  /** Without a tryLock, a lock without an owner counts as uncontended. */
  lockFast(lock: Pointer): boolean {
    const { user } = this;
    if (user.tryLock !== undefined) return user.tryLock(lock, lock + spinlock.extra);
    if (this.memory.read(lock + spinlock.owner) !== 0) return false;
    user.lock(lock, lock + spinlock.extra);
    return true;
  }

  lockSlow(lock: Pointer): void {
    this.user.lock(lock, lock + spinlock.extra);
  }

  unlock(lock: Pointer): void {
    this.user.unlock(lock, lock + spinlock.extra);
  }
}
