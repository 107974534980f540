/**
 * Broadcast invalidation: a CPU tells the TLBs of all others to forget something, without an interrupt and without their
 * kernel's help (AMD: INVLPGB, and TLBSYNC, which waits until all have done so).
 *
 * A TLB is its own thread's here, so the message waits for the target's next poll point, which lies between two accesses and
 * in every wait; it is taken there with interrupts off, too.  So a sender may hold any lock and have interrupts off.
 *
 *   issue   own record := what to forget;  left := targets;  busy := 1;  own bit in each target's `posted`
 *   target  takes its `posted`;  forgets what each sender's record says;  left--, the last one busy := 0
 *   sync    waits while busy
 *
 * A CPU that goes offline empties its TLB; what was posted to it afterwards the sender takes back.
 *
 * Invariants, at rest
 *   B1  nothing is posted
 *   B2  no CPU waits for others, or others for it: left and busy are 0
 *
 * AMD64 Architecture Programmer's Manual vol. 3, INVLPGB and TLBSYNC.  Linux: arch/x86/include/asm/tlb.h.
 * Differs: one message of a CPU is under way at a time, where hardware has several; the target pays for the message's lines.
 */

import type { Cpu } from "../hardware/cpu.ts";
import { SNOOP } from "../hardware/vectors.ts";
import { bug } from "../memory/bug.ts";
import type { ImageLayout, PerCpuSlot } from "../memory/image.ts";
import type { Memory } from "../memory/memory.ts";
import { float64, pad, struct, word } from "../memory/struct.ts";
import { PAGE_BYTES, type Pointer } from "../memory/units.ts";
import { Work } from "../memory/work.ts";
import { type CpuMasks, cpuMask } from "./cpumask.ts";
import type { OnlineCpus } from "./online.ts";

const TlbMessage = struct("tlb_message", {
  /** CPUs whose message this one has yet to take. */
  posted: cpuMask("atomic"),
  /** Whom this CPU's message was sent to. */
  targets: cpuMask("owner-cpu"),
  own: pad(),
  /** CPUs that have yet to take this one's. */
  left: word("atomic", "counter"),
  busy: word("atomic", "flags"),
  what: word("holder"),
  pcid: word("holder"),
  start: float64("holder"),
  end: float64("holder"),
  strideBytes: word("holder"),
  unused: word("boot"),
  last: pad(),
});
const field = TlbMessage;

/** What is forgotten: everything; all entries but global ones; those of a PCID; pages, of a PCID or global. */
const ALL = 0;
const NON_GLOBAL = 1;
const PCID = 2;
const PAGES = 3;
/** Pages that one instruction names.  Linux: invlpgb_count_max, which the processor says. */
const PAGES_AT_ONCE = 8;
/**
 * Simulated time of an instruction that starts a message, and of the wait for the others beside what they need.  Assumed: of the
 * order of a few transfers of a cache line.
 */
const ISSUE_NS = 20;
const SYNC_NS = 200;

export class TlbBroadcasts {
  declare private readonly cpu: Cpu;
  declare private readonly memory: Memory;
  declare private readonly masks: CpuMasks;
  declare private readonly online: OnlineCpus;
  declare private readonly slot: PerCpuSlot;
  declare private readonly own: Pointer;

  constructor(parts: { cpu: Cpu; masks: CpuMasks; online: OnlineCpus; slot: PerCpuSlot }) {
    const { cpu, slot } = parts;
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.masks = parts.masks;
    this.online = parts.online;
    this.slot = slot;
    this.own = slot.of(cpu.id);
    cpu.onSnoop(() => this.take());
  }

  static declare(layout: ImageLayout): PerCpuSlot {
    return layout.perCpu("tlb_message", TlbMessage);
  }

  // ---- the sender's side: what was asked for is done when `sync` returns ----

  /** Linux: invlpgb_flush_all. */
  all(): void {
    this.issue(ALL, 0, 0, 0, PAGE_BYTES);
  }
  /** Linux: invlpgb_flush_all_nonglobals. */
  nonGlobal(): void {
    this.issue(NON_GLOBAL, 0, 0, 0, PAGE_BYTES);
  }
  /** Linux: invlpgb_flush_single_pcid_nosync. */
  pcid(pcid: number): void {
    this.issue(PCID, pcid, 0, 0, PAGE_BYTES);
  }
  /** Pages of `strideBytes`; global entries for them, too.  Linux: invlpgb_flush_user_nr_nosync, invlpgb_flush_addr_nosync. */
  pages(pcid: number, start: number, end: number, strideBytes: number): void {
    this.issue(PAGES, pcid, start, end, strideBytes);
  }

  /** All CPUs have done what was asked for.  Linux: __tlbsync. */
  sync(): void {
    const { memory, own } = this;
    memory.work(Work.COMPUTE, SYNC_NS);
    if (memory.load(own + field.busy) !== 0) memory.waitWhile(own + field.busy, 1, 1);
  }

  private issue(what: number, pcid: number, start: number, end: number, strideBytes: number): void {
    const { memory, own, masks, online, slot, cpu } = this;
    cpu.preemptDisable();
    if (memory.load(own + field.busy) !== 0) memory.waitWhile(own + field.busy, 1, 1);
    const instructions = what === PAGES ? Math.ceil((end - start) / strideBytes / PAGES_AT_ONCE) : 1;
    memory.work(Work.COMPUTE, ISSUE_NS * instructions);
    memory.write(own + field.what, what);
    memory.write(own + field.pcid, pcid);
    memory.writeFloat64(own + field.start, start);
    memory.writeFloat64(own + field.end, end);
    memory.write(own + field.strideBytes, strideBytes);
    const targets = own + field.targets;
    masks.copy(targets, online.mask);
    masks.removeOwn(targets, cpu.id);
    let count = 0;
    for (let target = masks.next(targets, -1); target >= 0; target = masks.next(targets, target)) count++;
    cpu.tlb.countBroadcast();
    this.forget(own);
    if (count > 0) {
      memory.store(own + field.left, count);
      memory.store(own + field.busy, 1);
      for (let target = masks.next(targets, -1); target >= 0; target = masks.next(targets, target)) {
        const posted = slot.of(target) + field.posted;
        masks.add(posted, cpu.id);
        cpu.turn.signal(target, SNOOP);
        // It may have gone before it could see this.
        if (!online.has(target) && masks.remove(posted, cpu.id)) this.done(own);
      }
    }
    cpu.preemptEnable();
  }

  // ---- the target's side ----

  /** Whether a message has come that this CPU has not taken. */
  get isPosted(): boolean {
    return !this.masks.isEmpty(this.own + field.posted);
  }

  /** Does what others have sent.  At a poll point: no access is under way.  @cpu local */
  take(): void {
    const { memory, own, slot, masks } = this;
    for (let w = 0; w < (masks.cpus + 31) >> 5; w++) {
      let senders = memory.exchange(own + field.posted + w, 0);
      while (senders !== 0) {
        const sender = slot.of(w * 32 + 31 - Math.clz32(senders & -senders));
        senders &= senders - 1;
        this.forget(sender);
        this.done(sender);
      }
    }
  }

  /** B1, B2. */
  check(): void {
    const { memory, slot, masks } = this;
    for (let cpu = 0; cpu < masks.cpus; cpu++) {
      const at = slot.of(cpu);
      if (!masks.isEmpty(at + field.posted)) bug(`cpu ${cpu}: a TLB message is posted to it at rest`);
      const left = memory.read(at + field.left);
      const busy = memory.read(at + field.busy);
      if (left !== 0 || busy !== 0)
        bug(`cpu ${cpu}: its TLB message has ${left} CPUs left at rest, busy ${busy}`);
    }
  }

  /** One target less; the last one ends the sender's wait. */
  private done(sender: Pointer): void {
    const { memory } = this;
    if (memory.add(sender + field.left, -1) !== 1) return;
    memory.store(sender + field.busy, 0);
    memory.wake(sender + field.busy);
  }

  private forget(message: Pointer): void {
    const { memory, cpu } = this;
    const { tlb } = cpu;
    const pcid = memory.read(message + field.pcid);
    switch (memory.read(message + field.what)) {
      case ALL:
        tlb.flushAll();
        break;
      case NON_GLOBAL:
        tlb.flushNonGlobal();
        break;
      case PCID:
        tlb.flushPcid(pcid);
        break;
      default: {
        const end = memory.readFloat64(message + field.end);
        const stride = memory.read(message + field.strideBytes);
        for (let at = memory.readFloat64(message + field.start); at < end; at += stride)
          tlb.flushPage(at, pcid);
      }
    }
  }
}
