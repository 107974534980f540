/**
 * Per-CPU pieces from a word to several pages come and go on all CPUs: some are freed by others than have taken them, some
 * are taken where nobody may wait.  Chunks come and go meanwhile.  Each CPU's instance is zero when a piece is new, and
 * holds what was written when it is freed.
 */

import type { Kernel } from "../machine/kernel.ts";
import type { ProgramOptions } from "../machine/program.ts";
import { bug } from "../memory/bug.ts";
import type { Pointer } from "../memory/units.ts";
import { Gfp, GfpFlag } from "../mm/pages/gfp.ts";
import { checkPerCpu } from "../mm/percpu/check-percpu.ts";
import { PcpuChunk } from "../mm/percpu/pcpu-chunk.ts";
import type { PerCpuPointer } from "../sync/percpu.ts";
import type { WorkloadDescription } from "./description.ts";
import { nameWords } from "./parts/named.ts";
import { freeScratch, takeScratch } from "./parts/scratch.ts";

export const describe: WorkloadDescription = {
  name: "percpu-churn",
  summary: "Per-CPU pieces of mixed sizes, freed by other CPUs too; chunks come and go.",
  phases: ["churn"],
  operation: "one piece allocated, freed or handed on",
  options: {
    pieces: { type: "integer", default: 32, min: 1, max: 1000, help: "pieces that a CPU holds at most" },
    size: { type: "integer", default: 8192, min: 4, max: 32768, help: "bytes of a piece at most" },
    atomic: { type: "integer", default: 20, min: 0, max: 100, help: "allocations in 100 that may not wait" },
    remote: {
      type: "integer",
      default: 40,
      min: 0,
      max: 100,
      help: "frees in 100 that are left to another CPU",
    },
  },
  stress: true,
};

interface Shared {
  readonly mailbox: Pointer;
  /** Pieces that were out before. */
  readonly out: number;
}

const SLOTS = 61;
const NOWAIT = Gfp.NOWAIT | GfpFlag.NOWARN;
const MAYWAIT = Gfp.KERNEL | GfpFlag.NOWARN;
/** Words at each end of a long piece that are stamped and looked at. */
const ENDS = 32;

export function setup(kernel: Kernel): Shared {
  return { mailbox: takeScratch(kernel, SLOTS), out: kernel.perCpu.stats().current };
}

export function attach(kernel: Kernel, _options: ProgramOptions, shared: unknown): void {
  nameWords(kernel, "mailbox", (shared as Shared).mailbox, SLOTS);
}

export function run(kernel: Kernel, options: ProgramOptions, shared: unknown): { failed: number } {
  const { cpu } = kernel;
  const churn = new Churn(kernel, options, (shared as Shared).mailbox);
  kernel.phase("churn", () => {
    let done = 0;
    while (kernel.more(done)) {
      churn.step();
      done++;
      cpu.endOperation();
    }
    return done;
  });
  churn.freeAll();
  kernel.gate();
  if (cpu.id === 0) churn.emptyMailbox();
  return { failed: churn.failed };
}

export function check(
  kernel: Kernel,
  _options: ProgramOptions,
  _values: readonly unknown[],
  shared: unknown,
): void {
  const { perCpu, perCpuChunks, memory } = kernel;
  const { mailbox, out } = shared as Shared;
  freeScratch(kernel, mailbox, SLOTS);
  checkPerCpu(perCpuChunks, memory);
  const left = perCpu.stats().current;
  if (left !== out) bug(`${left} pieces of per-CPU memory are out after the run, ${out} were before it`);
}

/** One CPU's part. */
class Churn {
  failed = 0;
  private readonly kernel: Kernel;
  private readonly mailbox: Pointer;
  private readonly limit: number;
  private readonly sizeShifts: number;
  private readonly maxWords: number;
  private readonly atomic: number;
  private readonly remote: number;
  private readonly held: PerCpuPointer[] = [];

  constructor(kernel: Kernel, options: ProgramOptions, mailbox: Pointer) {
    this.kernel = kernel;
    this.mailbox = mailbox;
    this.limit = options.pieces as number;
    this.maxWords = Math.min(options.size as number, kernel.perCpuChunks.unitBytes) >> 2;
    this.sizeShifts = 32 - Math.clz32(this.maxWords);
    this.atomic = options.atomic as number;
    this.remote = options.remote as number;
  }

  /** Takes a piece, or frees one, or hands one on; more is taken than freed until the limit. */
  step(): void {
    const { random } = this.kernel.cpu;
    if (this.held.length >= this.limit || (this.held.length > 0 && random.below(5) < 2)) this.giveOne();
    else this.take();
  }

  freeAll(): void {
    for (const piece of this.held.splice(0)) this.free(piece);
  }

  emptyMailbox(): void {
    for (let slot = 0; slot < SLOTS; slot++) this.receive(slot);
  }

  private take(): void {
    const { cpu, perCpu } = this.kernel;
    const { random } = cpu;
    // Small sizes are as frequent as large ones, by powers of two.
    const most = Math.min(this.maxWords, 1 << random.below(this.sizeShifts + 1));
    const words = 1 + random.below(most);
    const isAtomic = random.below(100) < this.atomic;
    const piece = perCpu.alloc(words * 4, 4 << random.below(5), isAtomic ? NOWAIT : MAYWAIT);
    if (piece === 0) {
      this.failed++;
      return;
    }
    this.replace(piece, words, true);
    this.held.push(piece);
  }

  private giveOne(): void {
    const { random } = this.kernel.cpu;
    const index = random.below(this.held.length);
    const piece = this.held[index];
    this.held[index] = this.held[this.held.length - 1];
    this.held.pop();
    if (random.below(100) >= this.remote) return this.free(piece);
    const slot = random.below(SLOTS);
    const before = this.kernel.memory.exchange(this.mailbox + slot, piece);
    if (before !== 0) this.free(before);
  }

  private receive(slot: number): void {
    const piece = this.kernel.memory.exchange(this.mailbox + slot, 0);
    if (piece !== 0) this.free(piece);
  }

  private free(piece: PerCpuPointer): void {
    const { memory, perCpu, perCpuChunks } = this.kernel;
    const chunk = perCpuChunks.chunkOf(piece);
    const words = perCpuChunks.area.pieceWords(chunk, piece - memory.read(chunk + PcpuChunk.base));
    this.replace(piece, words, false);
    perCpu.free(piece);
  }

  /** Finds zero, or the stamp of each CPU's instance, and writes the other one. */
  private replace(piece: PerCpuPointer, words: number, isNew: boolean): void {
    const { cpus, memory, perCpu } = this.kernel;
    for (let cpu = 0; cpu < cpus; cpu++) {
      const instance = perCpu.of(piece, cpu);
      const stamp = (piece ^ ~cpu) | 0;
      const [expected, next] = isNew ? [0, stamp] : [stamp, 0];
      for (let i = 0; i < words; i++) {
        if (i === ENDS && words > 2 * ENDS) i = words - ENDS;
        const found = memory.read(instance + i) | 0;
        if (found !== expected)
          bug(
            `per-CPU piece ${piece} of ${words} words: cpu ${cpu} has 0x${(found >>> 0).toString(16)} in word ${i}, ` +
              `expected 0x${(expected >>> 0).toString(16)}`,
          );
        memory.write(instance + i, next);
      }
    }
  }
}
