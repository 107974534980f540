import { describe, expect, test } from "vitest";
import type { Cpu } from "../../../src/hardware/cpu.ts";
import { Vector } from "../../../src/hardware/vectors.ts";
import { ImageLayout } from "../../../src/memory/image.ts";
import { CpuMasks } from "../../../src/sync/cpumask.ts";
import { Functions } from "../../../src/sync/functions.ts";
import { CrossCalls } from "../../../src/sync/ipi.ts";
import { OnlineCpus } from "../../../src/sync/online.ts";
import { bindImage, oneThread } from "../../support/one-thread.ts";

const MASK = 1024;

interface Fixture {
  cpus: readonly Cpu[];
  calls: CrossCalls[];
  online: OnlineCpus;
  masks: CpuMasks;
  /** "cpu:argument" in order of execution. */
  log: string[];
  irqsOff: boolean[];
  note: number;
  queueOf(cpu: number): number;
}

function fixture(count: number): Fixture {
  const { all } = oneThread(count);
  const layout = new ImageLayout();
  const [functionSlot, onlineSlot, slots] = [
    Functions.declare(layout),
    OnlineCpus.declare(layout),
    CrossCalls.declare(layout, count),
  ];
  bindImage(layout);
  const log: string[] = [];
  const irqsOff: boolean[] = [];
  const masks = new CpuMasks(all[0].memory, count);
  const online = new OnlineCpus(masks, onlineSlot);
  let note = 0;
  const calls = all.map((cpu) => {
    const functions = new Functions(cpu, functionSlot);
    note = functions.register("note", (on, argument) => {
      log.push(`${on.id}:${argument}`);
      irqsOff.push(!on.irqsEnabled);
    });
    return new CrossCalls({ cpu, masks: new CpuMasks(cpu.memory, count), online, functions, slots });
  });
  for (const cpu of all) online.bringUp(cpu.id);
  return { cpus: all, calls, online, masks, log, irqsOff, note, queueOf: (cpu) => slots.queue.of(cpu) };
}

describe("calls on one CPU", () => {
  test("a synchronous one has run when it returns, on its target, with interrupts off", () => {
    const f = fixture(3);
    expect(f.calls[0].single(2, f.note, 5, true)).toBe(0);
    expect(f.log).toEqual(["2:5"]);
    expect(f.irqsOff).toEqual([true]);
    expect(f.cpus[2].interruptsTaken(Vector.CALL_FUNCTION)).toBe(1);
    expect(f.cpus[0].preemptCount).toBe(0);
    f.calls[0].check();
  });

  test("one on the caller's own CPU runs at once, without an interrupt", () => {
    const f = fixture(2);
    f.calls[1].single(1, f.note, 9, true);
    expect(f.log).toEqual(["1:9"]);
    expect(f.irqsOff).toEqual([true]);
    expect(f.cpus[1].irqsEnabled).toBe(true);
    expect(f.cpus[1].interruptPending).toBe(false);
  });

  test("an asynchronous one runs at the target's next poll; the record is waited for before it is used again", () => {
    const f = fixture(2);
    f.calls[0].single(1, f.note, 1, false);
    expect(f.log).toEqual([]);
    f.calls[0].single(1, f.note, 2, false);
    expect(f.log).toEqual(["1:1"]);
    f.cpus[1].poll();
    expect(f.log).toEqual(["1:1", "1:2"]);
    f.calls[0].check();
  });

  test("a CPU that is not online refuses with -ENXIO", () => {
    const f = fixture(2);
    f.online.takeDown(1);
    expect(f.calls[0].single(1, f.note, 1, true)).toBe(-6);
    expect(() => f.online.takeDown(1)).toThrow("cpu 1 is taken down, but it is not online");
    expect(() => f.online.bringUp(0)).toThrow("cpu 0 is brought up, but it is online");
  });

  test("an interrupt is sent only to an empty queue, and takes all: synchronous calls first, each kind in order", () => {
    const f = fixture(4);
    f.calls[0].single(3, f.note, 1, false);
    f.calls[1].single(3, f.note, 2, false);
    f.calls[2].single(3, f.note, 3, true);
    expect(f.log).toEqual(["3:3", "3:1", "3:2"]);
    expect(f.cpus[3].interruptsTaken(Vector.CALL_FUNCTION)).toBe(1);
    f.calls[0].check();
  });
});

describe("calls on many CPUs", () => {
  test("reach each other online CPU of the mask exactly once", () => {
    const f = fixture(40);
    for (const cpu of [0, 1, 5, 33, 39]) f.masks.add(MASK, cpu);
    f.online.takeDown(5);
    f.calls[1].many(MASK, f.note, 7, true);
    expect(f.log.toSorted()).toEqual(["0:7", "33:7", "39:7"]);
    f.calls[0].check();
  });

  test("others and onEach differ by the caller, which runs with interrupts off", () => {
    const f = fixture(3);
    f.calls[1].others(f.note, 1, true);
    expect(f.log.toSorted()).toEqual(["0:1", "2:1"]);
    f.log.length = 0;
    f.calls[1].onEach(f.note, 2, true);
    expect(f.log.toSorted()).toEqual(["0:2", "1:2", "2:2"]);
    expect(f.irqsOff.every((off) => off)).toBe(true);
  });

  test("a condition chooses among the CPUs of the mask", () => {
    const f = fixture(6);
    for (const cpu of [0, 1, 2, 4]) f.masks.add(MASK, cpu);
    f.calls[0].onEachOf(MASK, f.note, 3, true, (cpu) => cpu % 2 === 0);
    expect(f.log.toSorted()).toEqual(["0:3", "2:3", "4:3"]);
    f.log.length = 0;
    f.calls[3].onEachOf(MASK, f.note, 4, false, (cpu) => cpu === 1 || cpu === 3);
    expect(f.log).toEqual([]);
    f.cpus[1].poll();
    expect(f.log).toEqual(["1:4"]);
  });
});

describe("misuse", () => {
  test("calling with interrupts off, or from a handler, is a bug", () => {
    const f = fixture(2);
    f.cpus[0].irqDisable();
    expect(() => f.calls[0].single(1, f.note, 1, true)).toThrow(
      "cpu 0: smp_call_function_single with interrupts off: may deadlock",
    );
    expect(() => f.calls[0].others(f.note, 1, true)).toThrow(
      "cpu 0: smp_call_function_many with interrupts off: may deadlock",
    );
    f.cpus[0].irqEnable();
    f.cpus[0].onInterrupt(Vector.USER_0, () => f.calls[0].onEach(f.note, 1, false));
    f.cpus[1].sendInterrupt(0, Vector.USER_0);
    expect(() => f.cpus[0].poll()).toThrow("on_each_cpu with interrupts off in an interrupt: may deadlock");
  });

  test("the check finds a record that is still locked and one that is still queued", () => {
    const f = fixture(2);
    f.calls[0].single(1, f.note, 1, false);
    expect(() => f.calls[0].check()).toThrow(/cpu 1: call_single_queue holds record \d+ at rest/);
    f.cpus[0].memory.exchange(f.queueOf(1), 0);
    expect(() => f.calls[0].check()).toThrow(
      "call record of cpu 0 to one, asynchronous, has flags 1 at rest",
    );
  });
});
