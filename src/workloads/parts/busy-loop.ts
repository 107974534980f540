/**
 * Time that a CPU spends on work of its own, to the nanosecond as far as the host allows: a chain of dependent
 * multiplications whose length is calibrated on the CPU's own thread.  It touches no memory, so CPUs do not disturb each
 * other; in simulated time it is a charge of cycles.
 */

import type { Cpu } from "../../hardware/cpu.ts";
import type { Memory } from "../../memory/memory.ts";
import { shape } from "../../memory/shape.ts";
import { Work } from "../../memory/work.ts";

const { COMPUTE } = Work;
const simulated = shape.mode !== "parallel";
/** Links of the chain in one calibration run: some 30 µs, short enough to fall between two preemptions. */
const SAMPLE_LINKS = 16_384;
/** Enough runs that the compiled loop is among them. */
const SAMPLES = 40;

export class BusyLoop {
  /** Links of the chain that take one nanosecond. */
  readonly linksPerNs: number;
  private readonly memory: Memory;
  /** The chain's last value: kept, so that the compiler keeps the chain. */
  private value = 1;

  /** Calibrates on the thread that calls. */
  constructor(cpu: Cpu, memory: Memory) {
    this.memory = memory;
    let best = Infinity;
    for (let i = 0; i < (simulated ? 0 : SAMPLES); i++) {
      const start = cpu.nowNs();
      this.chain(SAMPLE_LINKS);
      best = Math.min(best, cpu.nowNs() - start);
    }
    this.linksPerNs = SAMPLE_LINKS / best;
  }

  /** How many links last `ns`: compute it once, outside the measured loop. */
  linksFor(ns: number): number {
    return simulated ? ns : Math.round(ns * this.linksPerNs);
  }

  /** Works for as long as `links` take. */
  spin(links: number): void {
    if (simulated) this.memory.work(COMPUTE, links);
    else this.chain(links);
  }

  private chain(links: number): void {
    let value = this.value;
    for (let i = 0; i < links; i++) value = (Math.imul(value, 0x343fd) + 0x269ec3) | 0;
    this.value = value;
  }
}
