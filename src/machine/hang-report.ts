/**
 * Who runs, who waits for what, and the last events of each CPU: taken before anything unwinds.
 */

import { CPU_STATE_WORDS, CpuState, PREEMPT_NESTING } from "../hardware/cpu-state.ts";
import { CpuControl, cpuControl, RunState } from "../memory/control.ts";
import { TRACE_EVENT_NAMES } from "../memory/trace.ts";
import { VIRTUAL_STATUS_NAMES, VirtualCpu, virtualCpuBase } from "../schedule/virtual/state.ts";
import { lockClassName } from "../sync/lock-class.ts";
import { ringOf } from "./buffers.ts";
import { holderOf } from "./lock-holder.ts";
import type { MachineParts } from "./task.ts";

const STATE_NAMES = ["off", "running", "parked", "ready"];
const LAST_EVENTS = 8;

/** The report as text, one block a CPU. */
export function hangReport(machine: MachineParts, control: Int32Array): string {
  const lines: string[] = [];
  const states = new Int32Array(machine.buffers.states);
  const ram = new Int32Array(machine.buffers.ram);
  for (let cpu = 0; cpu < machine.config.cpus; cpu++) {
    const at = cpuControl(cpu);
    const own = cpu * CPU_STATE_WORDS;
    lines.push(
      `cpu ${cpu}: ${statusOf(machine, control, cpu)}, ` +
        `irqs ${states[own + CpuState.irqsEnabled] ? "on" : "off"}, preempt_count ${states[own + CpuState.preemptCount] & PREEMPT_NESTING}, ` +
        `in interrupt ${states[own + CpuState.hardirqCount]}, pending 0x${control[at + CpuControl.pending].toString(16)}`,
    );
    const lock = control[at + CpuControl.waitLock];
    if (control[at + CpuControl.waitClass] !== 0) {
      const classId = control[at + CpuControl.waitClass] - 1;
      const holder = holderOf(ram, lock, classId);
      lines.push(
        `  waits for lock ${lockClassName(classId)} at 0x${(lock * 4).toString(16)}, ` +
          `${holder < 0 ? "" : `held by cpu ${holder}, `}whose word is 0x${(ram[lock] >>> 0).toString(16)}`,
      );
    }
    const address = control[at + CpuControl.waitAddress];
    if (address !== 0) {
      lines.push(
        `  waits while (word 0x${(address * 4).toString(16)} & 0x${(control[at + CpuControl.waitMask] >>> 0).toString(16)}) == ` +
          `0x${(control[at + CpuControl.waitValue] >>> 0).toString(16)}; the word is 0x${(ram[address] >>> 0).toString(16)}`,
      );
    }
    lines.push(...lastEvents(machine, cpu));
  }
  return lines.join("\n");
}

/** What the CPU does, in the words of the machine's scheduler. */
function statusOf(machine: MachineParts, control: Int32Array, cpu: number): string {
  if (machine.virtual !== null) {
    const base = virtualCpuBase(cpu);
    const kicked = control[base + VirtualCpu.kicked] === 0 ? "" : " (kicked)";
    return `${VIRTUAL_STATUS_NAMES[control[base + VirtualCpu.status]]}${kicked}`;
  }
  const state = control[cpuControl(cpu) + CpuControl.state];
  return `${STATE_NAMES[state & 3]}${state & RunState.KICKED ? " (kicked)" : ""}`;
}

function lastEvents(machine: MachineParts, cpu: number): string[] {
  return ringOf(machine, cpu)
    .last(LAST_EVENTS)
    .map((e) => `  [${(e.timeNs / 1e9).toFixed(6)}] ${TRACE_EVENT_NAMES[e.code] ?? e.code} ${e.a} ${e.b}`);
}
