/**
 * Grace periods: from a moment on, every CPU has been outside all read sections once.
 *
 * A CPU is *quiescent* while it is idle or takes no part in the run (its idle counter is even), or between two pieces of
 * work with preemption possible.  A grace period begins by asking all CPUs at once (`holdouts`), then drops those that
 * are idle; the others drop themselves.  Being quiescent is a state: whichever grace period the drop of a CPU reaches,
 * the CPU is outside any section at that instant, so a late one does no harm.  A drop on *behalf* of a CPU is
 * different, and happens under `lock` only, which keeps the grace period from ending meanwhile.
 *
 * Why nothing is missed: the starter asks (store to `holdouts`) before it looks at an idle counter (add of 0); a CPU
 * that goes idle counts (add of 1) before it looks at `holdouts`.  One of the two sees the other.  And a CPU that counts
 * itself out of idleness after the starter looked reads everything written before the grace period began, for its add
 * reads what the starter's add wrote.
 *
 *   gpSeq:   4k --start--> 4k + 1 --all holdouts dropped--> 4k + 4
 *
 * Invariants, while `lock` is free
 *   G1  gpSeq & 3 is 0 or 1
 *   G2  no holdouts while gpSeq & 3 is 0
 *   G3  wordsLeft == words of `holdouts` that are not 0, between two drops
 *
 * Linux: kernel/rcu/tree.c rcu_gp_init, rcu_gp_fqs, rcu_report_qs_rnp; tree_exp.h.  Differs: no grace-period thread:
 * whoever ends one starts the next; one level of 32-CPU leaves; the idle scan is made at the start.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { Softirq, Vector } from "../hardware/vectors.ts";
import { bug } from "../memory/bug.ts";
import type { ImageLayout, PerCpuSlot, Slot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { embed, float64, pad, struct, word } from "../memory/struct.ts";
import type { Pointer } from "../memory/units.ts";
import { type CpuMasks, cpuMask } from "./cpumask.ts";
import { LockClass } from "./lock-class.ts";
import { CallbackList, Callbacks, RcuHead, seqBefore } from "./rcu-callbacks.ts";
import { SpinLock, type SpinLocks } from "./spinlock.ts";

export const RcuState = struct("rcu_state", {
  lock: embed(SpinLock, "atomic"),
  gpSeq: word("atomic"),
  /** Grace periods are asked for up to this number. */
  gpSeqNeeded: word("hint:lock:rcu.lock"),
  /** Up to this number CPUs are interrupted rather than waited for. */
  gpSeqExpedited: word("lock:rcu.lock"),
  /** Whether the holdouts of this grace period have been interrupted. */
  forced: word("lock:rcu.lock", "flags"),
  gpStartNs: float64("hint:lock:rcu.lock"),
  lineHoldouts: pad(),
  /** CPUs that this grace period waits for. */
  holdouts: cpuMask("atomic"),
  wordsLeft: word("atomic", "counter"),
  /** CPUs that have callbacks. */
  callbackCpus: cpuMask("atomic"),
  lineOrphans: pad(),
  /** Callbacks of CPUs that have left the run. */
  orphans: embed(CallbackList, "lock:rcu.lock"),
  /** CPUs that take part in the run. */
  members: word("lock:rcu.lock", "counter"),
  lineBarrier: pad(),
  /** 1 + CPU that runs rcu_barrier, or 0. */
  barrierOwner: word("atomic"),
  barrierLeft: word("atomic", "counter"),
  end: pad(),
});
export const RcuData = struct("rcu_data", {
  /** Odd while the CPU runs; even while it is idle or takes no part.  Linux: the dynticks counter. */
  idleCount: word("hint:atomic", "counter"),
  lineWants: pad(),
  /** Set before the CPU sleeps: it then wants an interrupt at the end of a grace period; cleared by its next call_rcu. */
  wantsInterrupt: word("hint:atomic", "flags"),
  lineOwn: pad(),
  callbacks: embed(CallbackList, "owner-cpu"),
  /** Callbacks run in one go. */
  batchLimit: word("owner-cpu", "counter"),
  /** Length of the list when it last had grown past the high mark. */
  lengthLastForce: word("owner-cpu", "counter"),
  /** Whether the CPU takes part in the run; one that does not is idle whatever it does. */
  takesPart: word("owner-cpu", "flags"),
  /** Nesting of rcu_read_lock, counted with checks on. */
  nesting: word("owner-cpu", "counter"),
  barrierHead: embed(RcuHead, "owner-cpu"),
  invoked: float64("owner-cpu"),
  end: pad(),
});
const state = RcuState;
const data = RcuData;

export interface RcuSlots {
  readonly state: Slot;
  readonly data: PerCpuSlot;
}

export class GracePeriods {
  /** Start of the machine-wide state, for rcu_barrier's words. */
  readonly barrierOwner: Pointer;
  readonly barrierLeft: Pointer;
  readonly callbackCpus: Pointer;
  private readonly cpu: Cpu;
  private readonly memory: Memory;
  private readonly masks: CpuMasks;
  private readonly locks: SpinLocks;
  private readonly slots: RcuSlots;
  private readonly base: Pointer;
  private readonly orphans: Callbacks;

  constructor(parts: { cpu: Cpu; masks: CpuMasks; locks: SpinLocks; slots: RcuSlots }) {
    this.cpu = parts.cpu;
    this.memory = parts.cpu.memory;
    this.masks = parts.masks;
    this.locks = parts.locks;
    this.slots = parts.slots;
    this.base = parts.slots.state.address;
    this.barrierOwner = this.base + state.barrierOwner;
    this.barrierLeft = this.base + state.barrierLeft;
    this.callbackCpus = this.base + state.callbackCpus;
    this.orphans = new Callbacks(this.memory, this.base + state.orphans);
  }

  static declare(layout: ImageLayout): RcuSlots {
    return {
      state: layout.place("rcu_state", RcuState),
      data: layout.perCpu("rcu_data", RcuData),
    };
  }

  /** First state, on the boot CPU; RAM is zero. */
  format(): void {
    this.locks.format(this.base + state.lock, LockClass.RCU_NODE);
    this.orphans.format();
  }

  // ---- numbers ----

  get seq(): number {
    return this.memory.load(this.base + state.gpSeq);
  }

  /** Whether the grace period `seq` has ended. */
  hasEnded(seq: number): boolean {
    return !seqBefore(this.seq, seq);
  }

  /** Whether a grace period is under way and nothing holds it: `advance` must follow. */
  get isHeldByNobody(): boolean {
    return (this.seq & 3) !== 0 && this.memory.load(this.base + state.wordsLeft) === 0;
  }

  /** CPUs that take part in the run. */
  get members(): number {
    return this.memory.read(this.base + state.members);
  }

  /** How long the present grace period has gone on; 0 when there is none. */
  ageNs(): number {
    const isIdle = (this.seq & 3) === 0;
    return isIdle ? 0 : this.cpu.nowNs() - this.memory.readFloat64(this.base + state.gpStartNs);
  }

  /**
   * Asks for a grace period that begins after this call; the number to wait for.  `expedite`: its holdouts, and those
   * of the ones before, are interrupted.
   */
  request(expedite: boolean): number {
    const { memory, base } = this;
    const next = (this.seq + 7) & ~3;
    if (!expedite && !seqBefore(memory.read(base + state.gpSeqNeeded), next)) return next;
    const flags = this.lock();
    const target = (this.seq + 7) & ~3;
    if (seqBefore(memory.read(base + state.gpSeqNeeded), target))
      memory.write(base + state.gpSeqNeeded, target);
    if (expedite) this.expediteLocked(target);
    this.advanceLocked();
    this.unlock(flags);
    return target;
  }

  /** Lets the grace periods up to `seq` interrupt their holdouts. */
  expedite(seq: number): void {
    const flags = this.lock();
    this.expediteLocked(seq);
    this.advanceLocked();
    this.unlock(flags);
  }

  /** Waits until the grace period `seq` has ended. */
  waitFor(seq: number): void {
    for (;;) {
      const seen = this.seq;
      if (!seqBefore(seen, seq)) return;
      this.memory.waitWhile(this.base + state.gpSeq, -1, seen);
    }
  }

  // ---- quiescent states ----

  /**
   * Drops this CPU, which is quiescent now, from the holdouts; true when it was the last one: `advance` must follow.
   */
  dropSelf(): boolean {
    const { id } = this.cpu;
    const bit = 1 << (id & 31);
    if ((this.memory.load(this.base + state.holdouts + (id >> 5)) & bit) === 0) return false;
    return this.drop(id);
  }

  /** This CPU becomes quiescent until `leaveIdle`; true when `advance` must follow.  Waits for nothing. */
  enterIdle(): boolean {
    const count = this.memory.read(this.own(data.idleCount));
    if ((count & 1) === 0) bug(`cpu ${this.cpu.id}: becomes idle for RCU, but it is idle (count ${count})`);
    this.memory.add(this.own(data.idleCount), 1);
    return this.dropSelf();
  }

  leaveIdle(): void {
    const count = this.memory.read(this.own(data.idleCount));
    if ((count & 1) !== 0) bug(`cpu ${this.cpu.id}: wakes up for RCU, but it is not idle (count ${count})`);
    this.memory.add(this.own(data.idleCount), 1);
  }

  /** Ends the grace period if nothing holds it, and starts what is asked for. */
  advance(): void {
    const flags = this.lock();
    this.advanceLocked();
    this.unlock(flags);
  }

  // ---- CPUs that come and go ----

  /** `cpu` takes part from here on. */
  join(cpu: number): void {
    const { memory } = this;
    memory.add(this.slots.data.of(cpu) + data.idleCount, 1);
    memory.write(this.slots.data.of(cpu) + data.takesPart, 1);
    const flags = this.lock();
    memory.write(this.base + state.members, memory.read(this.base + state.members) + 1);
    this.unlock(flags);
  }

  /** Leaves `callbacks` to the others; false, and nothing done, when there are no others. */
  tryLeave(callbacks: Callbacks): boolean {
    const { memory, base } = this;
    const flags = this.lock();
    const members = memory.read(base + state.members);
    const hasOthers = members > 1;
    if (hasOthers || callbacks.length + this.orphans.length === 0) {
      memory.write(base + state.members, members - 1);
      this.orphans.adopt(callbacks);
      this.masks.remove(this.callbackCpus, this.cpu.id);
      this.unlock(flags);
      return true;
    }
    this.unlock(flags);
    return false;
  }

  /** Leaves `callbacks` of a CPU that takes no part to the others; false, and nothing done, when there are none. */
  tryOrphan(callbacks: Callbacks): boolean {
    const flags = this.lock();
    const hasOthers = this.members > 0;
    if (hasOthers) this.orphans.adopt(callbacks);
    this.unlock(flags);
    return hasOthers;
  }

  /** Moves the callbacks that others have left behind to `callbacks`; whether there were any.  @irqs off */
  adoptOrphans(callbacks: Callbacks): boolean {
    if (this.orphans.length === 0) return false;
    const flags = this.lock();
    callbacks.adopt(this.orphans);
    this.unlock(flags);
    return true;
  }

  /** G1 to G3 at rest, where G3 means that nothing is left. */
  check(): void {
    const { memory, masks, base } = this;
    const seq = memory.read(base + state.gpSeq);
    if ((seq & 3) !== 0) bug(`rcu: grace period ${seq} is under way at rest`);
    if (!masks.isEmpty(base + state.holdouts))
      bug(`rcu: holdouts ${masks.list(base + state.holdouts)} at rest`);
    const left = memory.read(base + state.wordsLeft);
    if (left !== 0) bug(`rcu: wordsLeft is ${left} at rest`);
    this.orphans.check("rcu orphans");
    const { length } = this.orphans;
    if (length !== 0) bug(`rcu: ${length} callbacks of CPUs that have left have not run`);
  }

  // ---- under the lock ----

  private advanceLocked(): void {
    const { memory, base } = this;
    for (;;) {
      const seq = memory.load(base + state.gpSeq);
      if ((seq & 3) !== 0) {
        if (memory.load(base + state.wordsLeft) !== 0) return;
        this.endLocked(seq);
      } else if (seqBefore(seq, memory.read(base + state.gpSeqNeeded))) {
        this.startLocked(seq);
      } else {
        return;
      }
    }
  }

  /** Linux: rcu_gp_init, then the first rcu_gp_fqs. */
  private startLocked(seq: number): void {
    const { memory, base, masks } = this;
    memory.write(base + state.forced, 0);
    memory.writeFloat64(base + state.gpStartNs, this.cpu.nowNs());
    memory.store(base + state.gpSeq, seq + 1);
    const { cpus } = masks;
    const words = (cpus + 31) >> 5;
    memory.store(base + state.wordsLeft, words);
    for (let w = 0; w < words; w++) {
      const inWord = Math.min(32, cpus - 32 * w);
      memory.store(base + state.holdouts + w, inWord === 32 ? -1 : (1 << inWord) - 1);
    }
    for (let cpu = 0; cpu < cpus; cpu++) {
      if (this.isIdle(cpu)) this.drop(cpu);
      else this.cpu.raiseSoftirq(cpu, Softirq.QUIESCENT_STATE);
    }
    if (!seqBefore(memory.read(base + state.gpSeqExpedited), seq + 4)) this.forceLocked();
  }

  /** Linux: rcu_gp_cleanup. */
  private endLocked(seq: number): void {
    const { memory, base, masks } = this;
    memory.store(base + state.gpSeq, seq + 3);
    memory.wake(base + state.gpSeq);
    for (let cpu = 0; cpu < masks.cpus; cpu++) {
      if (!masks.has(this.callbackCpus, cpu)) continue;
      this.cpu.raiseSoftirq(cpu, Softirq.RCU_CALLBACKS);
      if (memory.load(this.slots.data.of(cpu) + data.wantsInterrupt) !== 0) {
        this.cpu.sendInterrupt(cpu, Vector.RCU);
      }
    }
  }

  private expediteLocked(seq: number): void {
    const { memory, base } = this;
    if (seqBefore(memory.read(base + state.gpSeqExpedited), seq))
      memory.write(base + state.gpSeqExpedited, seq);
    if ((memory.load(base + state.gpSeq) & 3) !== 0) this.forceLocked();
  }

  /**
   * Interrupts the holdouts.  Once for a grace period is enough: a CPU that was not idle then has the interrupt, and it
   * stays with the CPU until it drops itself.  Linux: sync_rcu_exp_select_cpus.
   */
  private forceLocked(): void {
    const { memory, base, masks, cpu } = this;
    if (memory.read(base + state.forced) !== 0) return;
    memory.write(base + state.forced, 1);
    for (let other = 0; other < masks.cpus; other++) {
      if (!masks.has(base + state.holdouts, other)) continue;
      if (this.isIdle(other)) this.drop(other);
      else if (other === cpu.id) cpu.raiseHere(Vector.RCU);
      else cpu.sendInterrupt(other, Vector.RCU);
    }
  }

  // ---- single steps ----

  /** An add, not a load: what this CPU wrote before is then visible to `cpu` when it leaves idleness. */
  private isIdle(cpu: number): boolean {
    return (this.memory.add(this.slots.data.of(cpu) + data.idleCount, 0) & 1) === 0;
  }

  /** Whether `cpu` was the last holdout. */
  private drop(cpu: number): boolean {
    const bit = 1 << (cpu & 31);
    const before = this.memory.and(this.base + state.holdouts + (cpu >> 5), ~bit);
    if (before !== bit) return false;
    return this.memory.add(this.base + state.wordsLeft, -1) === 1;
  }

  private own(field: number): Pointer {
    return this.slots.data.of(this.cpu.id) + field;
  }

  private lock(): number {
    return this.locks.lockIrqSave(this.base + state.lock);
  }

  private unlock(flags: number): void {
    this.locks.unlockIrqRestore(this.base + state.lock, flags);
  }
}
