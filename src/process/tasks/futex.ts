/**
 * Futexes: tasks wait for a word of their memory to change, and are woken by address.
 *
 *   waiter                                     waker
 *   waiters + 1                                (changes the word)
 *   lock the bucket, look at the word          waiters == 0?  then nobody waits
 *   as expected: state, queue, unlock, sleep   lock the bucket, take off, unlock, wake
 *
 * The waiter announces itself before it looks at the word, the waker changes the word before it looks for waiters: one of the
 * two sees the other.  A futex is private to an address space, or, in a shared mapping, the place in the file.
 *
 * Lock order: mmap_lock -> futex_hash_bucket.lock; nothing is woken under a bucket's lock.
 * Linux: kernel/futex/core.c get_futex_key, futex_q_lock; waitwake.c futex_wait_setup, futex_wake.
 * Differs: WAIT and WAKE without timeouts; 32 buckets.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import { PageFault } from "../../hardware/page-table-entry.ts";
import { Errno } from "../../memory/errno.ts";
import { listAddTail, listDelInit } from "../../memory/list.ts";
import type { Memory } from "../../memory/memory.ts";
import { mutant, reached } from "../../memory/mutants.ts";
import { wordsIn } from "../../memory/struct.ts";
import { PAGE_BYTES, type Pointer } from "../../memory/units.ts";
import type { UserAccess } from "../../mm/shootdown/user-access.ts";
import type { SpinLocks } from "../../sync/spinlock.ts";
import { Task } from "../../sync/task.ts";
import { OpenFile } from "../file-layout.ts";
import { UserSignal } from "../user-signal.ts";
import { VmArea } from "../vm-area.ts";
import { VmFlag } from "../vm-flags.ts";
import type { Vmas } from "../vmas.ts";
import type { RunQueues } from "./run-queues.ts";
import { FUTEX_BUCKETS, FutexBucket, TaskGlobals } from "./task-layout.ts";
import { type TaskRef, TaskState } from "./task-state.ts";
import type { TaskTable } from "./task-table.ts";

const task = Task;
const bucketField = FutexBucket;
const { INTERRUPTIBLE } = TaskState;
/** The word is looked at before the waiter announces itself, and not again. */
const looksFirst = mutant("futex-looks-first");

interface FutexKey {
  /** The address space, or the inode. */
  readonly object: Pointer;
  readonly offset: number;
}

export interface FutexParts {
  readonly cpu: Cpu;
  readonly locks: SpinLocks;
  readonly user: UserAccess;
  readonly vmas: Vmas;
  readonly table: TaskTable;
  readonly queues: RunQueues;
}

export class Futexes {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly parts: FutexParts;

  constructor(parts: FutexParts) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.parts = parts;
  }

  /** An attempt: 0 when woken, -EAGAIN when the word is another; null: the task sleeps from here on. */
  wait(at: TaskRef, address: number, expected: number, isResumed: boolean): number | null {
    const { memory, parts } = this;
    if (address % 4 !== 0) return -Errno.EINVAL;
    if (isResumed) {
      // Who is still queued has been woken for another reason: it sleeps on.
      memory.store(at + task.state, INTERRUPTIBLE);
      return memory.load(at + task.futexBucket) === 0 ? 0 : null;
    }
    for (;;) {
      reached("futex-looks-first");
      const early = looksFirst ? this.valueAt(address) : 0;
      const key = this.keyOf(address);
      if (typeof key === "number") return key;
      const bucket = this.bucketOf(key);
      memory.add(bucket + bucketField.waiters, 1);
      const flags = parts.locks.lockIrqSave(bucket + bucketField.lock);
      const value = looksFirst ? early : this.valueAt(address);
      if (value === expected >>> 0) {
        memory.write(at + task.futexObject, key.object);
        memory.writeFloat64(at + task.futexOffset, key.offset);
        memory.store(at + task.state, INTERRUPTIBLE);
        memory.store(at + task.futexBucket, bucket);
        listAddTail(memory, at + task.futexLink, bucket + bucketField.chain);
        parts.locks.unlockIrqRestore(bucket + bucketField.lock, flags);
        return null;
      }
      memory.add(bucket + bucketField.waiters, -1);
      parts.locks.unlockIrqRestore(bucket + bucketField.lock, flags);
      if (value >= 0) return -Errno.EAGAIN;
      // Not there: brought in without the lock, and looked at again.
      if (!this.faultIn(address)) return -Errno.EFAULT;
    }
  }

  /** Wakes up to `count` that wait at `address`; how many, or a negated errno.  Linux: futex_wake. */
  wake(address: number, count: number): number {
    const { memory, parts } = this;
    if (address % 4 !== 0) return -Errno.EINVAL;
    const key = this.keyOf(address);
    if (typeof key === "number") return key;
    const bucket = this.bucketOf(key);
    if (memory.load(bucket + bucketField.waiters) === 0) return 0;
    const woken: TaskRef[] = [];
    const flags = parts.locks.lockIrqSave(bucket + bucketField.lock);
    const head = bucket + bucketField.chain;
    for (let link = memory.read(head); link !== head && woken.length < count; ) {
      const at = link - task.futexLink;
      link = memory.read(link);
      const isSame =
        memory.read(at + task.futexObject) === key.object &&
        memory.readFloat64(at + task.futexOffset) === key.offset;
      if (!isSame) continue;
      // As soon as it is off the bucket it may go on, and end.
      parts.table.get(at);
      this.unqueue(bucket, at);
      woken.push(at);
    }
    parts.locks.unlockIrqRestore(bucket + bucketField.lock, flags);
    for (const at of woken) {
      parts.queues.tryToWakeUp(at, INTERRUPTIBLE);
      parts.table.put(at);
    }
    return woken.length;
  }

  /** The task waits no more.  Linux: futex_unqueue. */
  cancel(at: TaskRef): void {
    const { memory, parts } = this;
    for (
      let bucket = memory.load(at + task.futexBucket);
      bucket !== 0;
      bucket = memory.load(at + task.futexBucket)
    ) {
      const flags = parts.locks.lockIrqSave(bucket + bucketField.lock);
      if (memory.load(at + task.futexBucket) === bucket) this.unqueue(bucket, at);
      parts.locks.unlockIrqRestore(bucket + bucketField.lock, flags);
    }
  }

  /** @holds futex_hash_bucket.lock */
  private unqueue(bucket: Pointer, at: TaskRef): void {
    const { memory } = this;
    listDelInit(memory, at + task.futexLink);
    memory.add(bucket + bucketField.waiters, -1);
    memory.store(at + task.futexBucket, 0);
  }

  /** Linux: get_futex_key.  -EFAULT where nothing is mapped. */
  private keyOf(address: number): FutexKey | number {
    const { memory, parts } = this;
    const mm = memory.read(this.cpu.current + task.mm);
    const { locks } = parts.vmas;
    locks.readLock(mm);
    const area = parts.vmas.lookup(mm, address);
    let key: FutexKey | number = -Errno.EFAULT;
    if (area !== 0) {
      const file = memory.read(area + VmArea.file);
      const isShared = file !== 0 && (parts.vmas.flagsOf(area) & VmFlag.SHARED) !== 0;
      const inFile =
        memory.readFloat64(area + VmArea.pgoff) * PAGE_BYTES + address - parts.vmas.startOf(area);
      key = isShared
        ? { object: memory.read(file + OpenFile.inode), offset: inFile }
        : { object: mm, offset: address };
    }
    locks.readUnlock(mm);
    return key;
  }

  private bucketOf({ object, offset }: FutexKey): Pointer {
    const place = (Math.imul(object, 0x9e3779b1) ^ Math.imul(Math.floor(offset / 4) | 0, 0x85ebca6b)) >>> 0;
    return this.parts.table.at + TaskGlobals.futexes + (place % FUTEX_BUCKETS) * wordsIn(FutexBucket);
  }

  /** The word as it is, or -1 when it cannot be read without a fault. */
  private valueAt(address: number): number {
    const at = this.parts.user.translate(address, PageFault.USER);
    return at < 0 ? -1 : this.memory.load(at) >>> 0;
  }

  private faultIn(address: number): boolean {
    try {
      this.parts.user.read(address);
      return true;
    } catch (error) {
      if (error instanceof UserSignal) return false;
      throw error;
    }
  }
}
