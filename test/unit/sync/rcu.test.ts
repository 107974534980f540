import { describe, expect, test } from "vitest";
import { Softirq, Vector } from "../../../src/hardware/vectors.ts";
import { RcuState } from "../../../src/sync/rcu-grace-period.ts";
import { leaveRun, type SyncParts, syncOnOneThread } from "../../support/sync-parts.ts";

const HEADS = 1 << 18;
const head = (i: number): number => HEADS + 2 * i;

/** `cpus` CPUs whose registered function logs "cpu:head". */
function fixture(cpus: number, during: (cpu: number) => void = () => {}) {
  const parts = syncOnOneThread(cpus, during);
  const log: string[] = [];
  let note = 0;
  for (const p of parts) {
    note = p.functions.register("note", (cpu, at) => {
      log.push(`${cpu.id}:${(at - HEADS) / 2}`);
    });
  }
  return { parts, log, note, at: (i: number): SyncParts => parts[i] };
}

describe("grace periods", () => {
  test("one alone ends at once", () => {
    const { parts } = fixture(1);
    parts[0].rcu.synchronize();
    expect(parts[0].rcu.completed).toBe(1);
    parts[0].rcu.check();
  });

  test("busy CPUs are interrupted, each once", () => {
    const { parts } = fixture(40);
    parts[3].rcu.synchronize();
    expect(parts[3].rcu.completed).toBe(1);
    for (const p of parts) expect(p.cpu.interruptsTaken(Vector.RCU)).toBe(1);
    parts[0].rcu.check();
  });

  test("a reader is waited for until it leaves its section, however deep", () => {
    const steps: string[] = [];
    const f = fixture(2, (cpu) => {
      if (cpu !== 0 || steps.length > 2) return;
      const reader = f.at(1);
      expect(reader.rcu.completed).toBe(0);
      if (steps.length === 0) expect(reader.cpu.preemptCount).toBe(2);
      steps.push(`unlock ${steps.length}`);
      if (steps.length <= 2) reader.rcu.readUnlock();
    });
    f.at(1).rcu.readLock();
    f.at(1).rcu.readLock();
    f.at(0).rcu.synchronize();
    expect(steps).toEqual(["unlock 0", "unlock 1"]);
    expect(f.at(0).rcu.completed).toBe(1);
    expect(f.at(1).cpu.preemptCount).toBe(0);
  });

  test("a section that ends with interrupts off ends when they are on", () => {
    let phase = 0;
    const f = fixture(2, () => {
      const { rcu, cpu } = f.at(1);
      expect(rcu.completed).toBe(0);
      if (phase === 0) {
        cpu.irqDisable();
        rcu.readUnlock();
      } else if (phase === 3) cpu.irqEnable();
      phase++;
    });
    f.at(1).rcu.readLock();
    f.at(0).rcu.synchronize();
    expect(phase).toBe(4);
  });

  test("idle CPUs are not woken, and CPUs that have left do not count", () => {
    const f = fixture(3);
    leaveRun(f.at(2));
    const idle = f.at(1);
    idle.cpu.turn.park = () => f.at(0).rcu.synchronize();
    idle.cpu.halt();
    expect(f.at(0).rcu.completed).toBe(1);
    expect(idle.cpu.interruptsTaken(Vector.RCU)).toBe(0);
    f.at(0).rcu.check();
  });

  test("a CPU that goes idle as the last holdout ends the grace period itself", () => {
    const f = fixture(2);
    f.at(0).rcu.call(head(0), f.note);
    f.at(0).cpu.endOperation();
    f.at(0).cpu.endOperation();
    expect(f.at(0).rcu.completed).toBe(0);
    f.at(1).cpu.halt();
    expect(f.at(0).rcu.completed).toBe(1);
    f.at(0).cpu.endOperation();
    expect(f.log).toEqual(["0:0"]);
  });
});

describe("callbacks", () => {
  test("run on the CPU that queued them, in order, after all CPUs have ended an operation", () => {
    const f = fixture(3);
    f.at(1).rcu.call(head(0), f.note);
    f.at(1).rcu.call(head(1), f.note);
    for (let i = 0; i < 3; i++) f.at(1).cpu.endOperation();
    expect(f.log).toEqual([]);
    f.at(0).cpu.endOperation();
    f.at(1).cpu.endOperation();
    expect(f.log).toEqual([]);
    f.at(2).cpu.endOperation();
    f.at(1).cpu.endOperation();
    expect(f.log).toEqual(["1:0", "1:1"]);
    expect(f.at(1).rcu.invoked).toBe(2);
    f.at(0).rcu.check();
  });

  test("do not run inside a section and may not sleep", () => {
    const f = fixture(1);
    const sleeper = f.at(0).functions.register("sleeper", () => f.at(0).rcu.synchronize());
    f.at(0).rcu.call(head(0), f.note);
    f.at(0).rcu.readLock();
    f.at(0).cpu.poll();
    expect(f.log).toEqual([]);
    f.at(0).rcu.readUnlock();
    f.at(0).cpu.endOperation();
    expect(f.log).toEqual(["0:0"]);
    f.at(0).rcu.call(head(1), sleeper);
    expect(() => f.at(0).cpu.endOperation()).toThrow("invalid context at synchronize_rcu");
  });

  test("run ten at a time; after 10,000 have piled up, all", () => {
    const f = fixture(1);
    for (let i = 0; i < 25; i++) f.at(0).rcu.call(head(i), f.note);
    const counts: number[] = [];
    for (let i = 0; i < 3; i++) {
      f.at(0).cpu.endOperation();
      counts.push(f.log.length);
    }
    expect(counts).toEqual([10, 20, 25]);
    const pile = fixture(2);
    const [busy, other] = pile.parts;
    for (let i = 0; i < 10_001; i++) busy.rcu.call(head(i), pile.note);
    other.cpu.poll();
    expect(other.cpu.interruptsTaken(Vector.RCU)).toBe(1);
    for (let i = 0; i < 3; i++) busy.cpu.endOperation();
    expect(pile.log.length).toBe(10_001);
    for (let i = 0; i < 25; i++) busy.rcu.call(head(i), pile.note);
    busy.cpu.endOperation();
    other.cpu.endOperation();
    busy.cpu.endOperation();
    expect(pile.log.length).toBe(10_011);
  });

  test("of a CPU that goes idle run there, when the others have answered", () => {
    const f = fixture(2);
    f.at(0).rcu.call(head(0), f.note);
    for (let i = 0; i < 4 && f.log.length === 0; i++) f.at(0).cpu.halt();
    expect(f.log).toEqual(["0:0"]);
    expect(f.at(1).cpu.interruptsTaken(Vector.RCU)).toBeGreaterThan(0);
    f.at(0).rcu.check();
  });

  test("the tick hurries a grace period that takes long", () => {
    const f = fixture(2);
    f.at(0).rcu.call(head(0), f.note);
    f.at(0).cpu.endOperation();
    let now = f.at(0).cpu.nowNs();
    f.at(0).cpu.turn.nowNs = () => now;
    f.at(0).rcu.tick();
    expect(f.at(1).cpu.interruptPending).toBe(false);
    now += 5_000_000;
    f.at(0).rcu.tick();
    expect(f.at(1).cpu.interruptPending).toBe(true);
    f.at(1).cpu.poll();
    f.at(0).cpu.endOperation();
    expect(f.log).toEqual(["0:0"]);
  });

  test("a callback may queue itself again", () => {
    const f = fixture(1);
    let left = 3;
    const again = f.at(0).functions.register("again", (_cpu, at) => {
      if (--left > 0) f.at(0).rcu.call(at, again);
    });
    f.at(0).rcu.call(head(0), again);
    for (let i = 0; i < 5; i++) f.at(0).cpu.endOperation();
    expect(left).toBe(0);
    f.at(0).rcu.check();
  });
});

describe("rcu_barrier", () => {
  test("returns when the callbacks of all CPUs have run", () => {
    const f = fixture(4);
    for (let i = 0; i < 100; i++) f.at(i % 3).rcu.call(head(i), f.note);
    f.at(3).rcu.barrier();
    expect(f.log.length).toBe(100);
    f.at(0).rcu.check();
  });

  test("without callbacks it waits for nobody", () => {
    const f = fixture(4);
    f.at(2).rcu.barrier();
    expect(f.at(2).rcu.completed).toBe(0);
  });

  test("a CPU that has left, and still answers interrupts, does not take over what others leave behind", () => {
    const f = fixture(3);
    leaveRun(f.at(2));
    f.at(1).rcu.call(head(1), f.note);
    leaveRun(f.at(1));
    const { cpu, rcu } = f.at(2);
    cpu.raiseSoftirq(2, Softirq.RCU_CALLBACKS);
    rcu.runSoftirqs();
    f.at(0).rcu.barrier();
    expect(f.log).toEqual(["0:1"]);
    leaveRun(f.at(0));
    f.at(0).rcu.check();
  });

  test("the last CPU that leaves runs what the others have left behind", () => {
    const f = fixture(3);
    for (let i = 0; i < 60; i++) f.at(i % 3).rcu.call(head(i), f.note);
    leaveRun(f.at(1));
    leaveRun(f.at(0));
    expect(f.log.length).toBeLessThan(60);
    leaveRun(f.at(2));
    expect(f.log.length).toBe(60);
    f.at(0).rcu.check();
  });

  test("a CPU that works on adopts them too", () => {
    const f = fixture(2);
    f.at(0).rcu.call(head(0), f.note);
    leaveRun(f.at(0));
    f.at(1).rcu.call(head(1), f.note);
    for (let i = 0; i < 4; i++) f.at(1).cpu.endOperation();
    expect(f.log).toEqual(["1:1", "1:0"]);
  });
});

describe("misuse", () => {
  test("is a bug with names", () => {
    const [{ rcu, cpu, memory }] = [fixture(1).parts[0]].map((p) => ({ ...p, memory: p.cpu.memory }));
    memory.store(4000, 17);
    expect(() => rcu.dereference(4000)).toThrow(
      "cpu 0: suspicious rcu_dereference() usage outside a read section, of word 0x3e80",
    );
    rcu.readLock();
    expect(rcu.dereference(4000)).toBe(17);
    expect(() => rcu.synchronize()).toThrow(
      "sleeping function called from invalid context at synchronize_rcu",
    );
    rcu.readUnlock();
    expect(() => rcu.readUnlock()).toThrow("cpu 0: rcu_read_unlock without rcu_read_lock");
    expect(() => cpu.setNeedResched()).toThrow("cpu 0: set_need_resched while preemption is possible");
    rcu.idleEnter();
    expect(() => rcu.readLock()).toThrow("cpu 0: RCU used illegally from extended quiescent state!");
    expect(() => rcu.idleEnter()).toThrow("cpu 0: becomes idle for RCU, but it is idle (count 2)");
    rcu.idleExit();
    expect(() => rcu.idleExit()).toThrow("cpu 0: wakes up for RCU, but it is not idle (count 3)");
  });

  test("the check finds callbacks, holdouts and CPUs that are not idle", () => {
    const f = fixture(2);
    f.at(0).rcu.check();
    const { memory } = f.at(0).cpu;
    const members = f.at(0).slots.rcu.state.address + RcuState.members;
    memory.write(members, 1);
    expect(() => f.at(0).rcu.check()).toThrow("rcu: 2 CPUs are awake, 1 take part in the run");
    memory.write(members, 2);
    f.at(0).rcu.call(head(0), f.note);
    expect(() => f.at(0).rcu.check()).toThrow("rcu: cpu 0 has 1 callbacks at rest");
    f.at(0).cpu.endOperation();
    expect(() => f.at(0).rcu.check()).toThrow("rcu: grace period 1 is under way at rest");
    leaveRun(f.at(0));
    f.at(1).cpu.endOperation();
    expect(() => f.at(1).rcu.check()).toThrow("rcu: 1 callbacks of CPUs that have left have not run");
    leaveRun(f.at(1));
    f.at(1).rcu.check();
    memory.write(f.at(0).slots.rcu.state.address + RcuState.holdouts, 2);
    expect(() => f.at(1).rcu.check()).toThrow("rcu: holdouts 1 at rest");
    memory.write(f.at(0).slots.rcu.state.address + RcuState.holdouts, 0);
    memory.write(f.at(0).slots.rcu.state.address + RcuState.wordsLeft, 1);
    expect(() => f.at(1).rcu.check()).toThrow("rcu: wordsLeft is 1 at rest");
  });
});
