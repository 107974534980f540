/**
 * The watchdog.  A run in which no CPU completes an operation, takes an interrupt or sleeps and wakes for `hangSeconds` is
 * hung; so is one whose CPUs do not end although they were told to stop.  The report is taken before the CPUs unwind.
 * In simulated time one CPU runs at a time, and the end of a round may be minutes away: there only standstill is a hang.
 */

import { CPU_STATE_WORDS, CpuState } from "../hardware/cpu-state.ts";
import { VECTORS } from "../hardware/vectors.ts";
import { Control, CpuControl, cpuControl } from "../memory/control.ts";
import { explore } from "../schedule/explore/state.ts";
import { hangReport } from "./hang-report.ts";
import type { Fault } from "./program.ts";
import type { MachineParts } from "./task.ts";

const LOOKS = 5;

export class Watchdog {
  private readonly parts: MachineParts;
  private readonly control: Int32Array;
  private readonly timer: NodeJS.Timeout;
  private before = -1;
  private unchanged = 0;
  private looksSinceStop = 0;

  constructor(parts: MachineParts, control: Int32Array, fail: (fault: Fault) => void) {
    this.parts = parts;
    this.control = control;
    this.timer = setInterval(() => this.look(fail), (parts.config.hangSeconds * 1000) / LOOKS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private look(fail: (fault: Fault) => void): void {
    const mustEnd = this.control[Control.stop] !== 0 && this.parts.virtual === null;
    if (mustEnd && ++this.looksSinceStop > LOOKS) {
      const deaf = this.stillRunning();
      const message = `${deaf} its program ${this.parts.config.hangSeconds} s after it was told to stop`;
      return this.report(message, fail);
    }
    const progress = this.progress();
    this.unchanged = progress === this.before ? this.unchanged + 1 : 0;
    this.before = progress;
    if (this.unchanged < LOOKS) return;
    this.report(`no CPU made progress for ${this.parts.config.hangSeconds} s`, fail);
  }

  private report(message: string, fail: (fault: Fault) => void): void {
    this.stop();
    fail({ kind: "hang", cpu: -1, message, stack: "", report: hangReport(this.parts, this.control) });
  }

  /** Names a CPU whose program goes on: the one that has done most since the stop. */
  private stillRunning(): string {
    const states = new Int32Array(this.parts.buffers.states);
    const idle = (cpu: number): boolean => states[cpu * CPU_STATE_WORDS + CpuState.idle] !== 0;
    const running = Array.from({ length: this.parts.config.cpus }, (_, cpu) => cpu).filter(
      (cpu) => !idle(cpu),
    );
    return running.length === 1 ? `cpu ${running[0]} still runs` : `cpus ${running.join(", ")} still run`;
  }

  private progress(): number {
    const { config, buffers } = this.parts;
    const states = new Int32Array(buffers.states);
    const doubles = new Float64Array(buffers.states);
    const wiring = new Float64Array(this.control.buffer);
    let sum = wiring[explore.totalSteps >> 1];
    for (let cpu = 0; cpu < config.cpus; cpu++) {
      const base = cpu * CPU_STATE_WORDS;
      sum += states[base + CpuState.operations];
      for (let v = 0; v < VECTORS; v++) sum += doubles[((base + CpuState.interrupts) >> 1) + v];
      const at = cpuControl(cpu);
      sum += wiring[(at + CpuControl.parks) >> 1] + wiring[(at + CpuControl.slices) >> 1];
    }
    return sum;
  }
}
