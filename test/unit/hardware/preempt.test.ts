import { describe, expect, test } from "vitest";
import type { CpuHooks } from "../../../src/hardware/cpu-hooks.ts";
import { Softirq, Vector } from "../../../src/hardware/vectors.ts";
import { soloCpu } from "../../support/solo.ts";

function fixture() {
  const { cpu } = soloCpu();
  const log: string[] = [];
  const hooks: CpuHooks = {
    runSoftirqs: () => log.push(`softirqs ${cpu.takeSoftirqs()}`),
    beforeSleep: () => log.push("sleep"),
    reschedule: () => log.push("reschedule"),
    idleEnter: () => log.push("idle"),
    idleExit: () => log.push("busy"),
  };
  cpu.installHooks(hooks);
  return { cpu, log, hooks };
}

describe("preemption", () => {
  test("a wish to reschedule is granted when the last nesting ends, and does not show in the count", () => {
    const { cpu, log } = fixture();
    cpu.preemptDisable();
    cpu.preemptDisable();
    cpu.setNeedResched();
    expect(cpu.preemptCount).toBe(2);
    cpu.preemptEnable();
    expect([cpu.preemptCount, cpu.inAtomic, log.length]).toEqual([1, true, 0]);
    cpu.preemptEnable();
    expect([cpu.preemptCount, cpu.inAtomic, log]).toEqual([0, false, ["reschedule"]]);
    cpu.preemptDisable();
    cpu.preemptEnable();
    expect(log).toEqual(["reschedule"]);
  });

  test("misuse is a bug", () => {
    const { cpu, hooks } = fixture();
    expect(() => cpu.preemptEnable()).toThrow("cpu 0: preempt_enable without preempt_disable (count -1)");
    expect(() => cpu.installHooks(hooks)).toThrow("cpu 0: hooks are installed twice");
  });
});

describe("soft interrupts", () => {
  test("run at the end of an operation, and after an interrupt unless preemption is disabled", () => {
    const { cpu, log } = fixture();
    cpu.onInterrupt(Vector.USER_0, () => cpu.raiseSoftirq(0, Softirq.RCU_CALLBACKS));
    cpu.endOperation();
    expect(log).toEqual([]);
    cpu.raiseSoftirq(0, Softirq.QUIESCENT_STATE);
    cpu.endOperation();
    expect(log).toEqual(["softirqs 1"]);
    cpu.raiseHere(Vector.USER_0);
    cpu.poll();
    expect(log).toEqual(["softirqs 1", "softirqs 2"]);
    cpu.preemptDisable();
    cpu.raiseHere(Vector.USER_0);
    cpu.poll();
    expect(cpu.softirqPending).toBe(true);
    cpu.preemptEnable();
    cpu.beforeSleep();
    cpu.endOperation();
    expect(log.slice(2)).toEqual(["sleep", "softirqs 2"]);
  });

  test("a halt tells the kernel before and after, and takes the interrupt as a busy CPU", () => {
    const { cpu, log } = fixture();
    cpu.onInterrupt(Vector.USER_0, () => log.push("interrupt"));
    cpu.raiseHere(Vector.USER_0);
    cpu.halt();
    expect(log).toEqual(["idle", "busy", "interrupt"]);
  });
});
