/**
 * The threads of a machine's CPUs: one piscina pool a shape, one thread a CPU, bound to it for the pool's life.
 *
 * Piscina replaces a thread that died without a word; a replaced thread has lost its kernel, so a pool in which any
 * thread failed is destroyed and never used again.  A pool whose machine halted cleanly waits here for the next machine
 * of the same shape.
 */

import { Piscina } from "piscina";
import { type Shape, type ShapeCarrier, shapeKey } from "../memory/shape.ts";
import {
  type CompiledModules,
  cacheFolder,
  keepCode,
  type ModuleCarrier,
  moduleTable,
} from "./module-table.ts";
import { notPinned, type PinnedThreads, type Pinning, pinThreads } from "./pin.ts";
import type { CpuAnswer, CpuTask } from "./task.ts";

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
const CPU_WORKER = new URL(`../../workers/cpu.${extension}`, import.meta.url);
/** Idle pools kept for the next machine. */
const KEPT_POOLS = 4;

const idle: CpuPool[] = [];
/** Shapes whose modules' code has been asked for. */
const asked = new Set<string>();

export class CpuPool {
  readonly size: number;
  readonly key: string;
  private readonly piscina: Piscina;
  private readonly threadOf: number[] = [];
  private poisoned = false;
  /** Groups of threads that were pinned together; a small machine has not asked for all. */
  private pinned: { readonly ids: readonly number[]; readonly threads: PinnedThreads }[] = [];

  private constructor(shape: Shape, size: number, heapMiB: number) {
    this.size = size;
    this.key = CpuPool.keyOf(shape, heapMiB);
    const carrier: ShapeCarrier & ModuleCarrier = { smpsimShape: shape, smpsimModules: moduleTable() };
    this.piscina = new Piscina({
      filename: CPU_WORKER.href,
      name: "cpu",
      minThreads: size,
      maxThreads: size,
      concurrentTasksPerWorker: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      workerData: carrier,
      resourceLimits: { maxOldGenerationSizeMb: heapMiB },
      loadBalancer: (task, workers) => {
        const cpu = (task as unknown as Record<symbol, { cpu: number } | undefined>)[
          Piscina.queueOptionsSymbol
        ]?.cpu;
        const id = cpu === undefined ? undefined : this.threadOf[cpu];
        return workers.find((w) => w.id === id && w.currentUsage === 0) ?? null;
      },
    });
    // The binding: thread k of the pool is CPU k, by thread id, which is never given twice.
    for (const thread of this.piscina.threads) this.threadOf.push(thread.threadId);
  }

  private static keyOf(shape: Shape, heapMiB: number): string {
    return `${heapMiB}/${shapeKey(shape)}`;
  }

  /**
   * A pool of `size` threads of this shape: an idle one, or a new one.  In simulated time a larger one does as well, as
   * threads without a CPU sleep and take no part.
   */
  static acquire(shape: Shape, size: number, heapMiB: number): CpuPool {
    cacheFolder();
    const key = CpuPool.keyOf(shape, heapMiB);
    const isLarger = shape.mode === "virtual";
    const fits = idle.filter(
      (pool) => pool.key === key && (pool.size === size || (isLarger && pool.size > size)),
    );
    const [found] = fits.toSorted((a, b) => a.size - b.size);
    if (found === undefined) return new CpuPool(shape, size, heapMiB);
    idle.splice(idle.indexOf(found), 1);
    return found;
  }

  /** Sends `task` to its CPU's thread.  Rejects only when the thread is lost. */
  async send(task: CpuTask): Promise<CpuAnswer> {
    const bound = { ...task, [Piscina.queueOptionsSymbol]: { cpu: task.cpu } };
    try {
      const answer = (await this.piscina.run(bound)) as CpuAnswer;
      if (answer.threadId !== this.threadOf[task.cpu]) {
        throw new Error(
          `thread of cpu ${task.cpu} was replaced (${this.threadOf[task.cpu]} -> ${answer.threadId})`,
        );
      }
      return answer;
    } catch (error) {
      this.poisoned = true;
      throw error;
    }
  }

  /** Keeps the code of modules that threads of this shape are the first to use; at rest. */
  async keepCode(): Promise<void> {
    if (asked.has(this.key)) return;
    asked.add(this.key);
    const answer = await this.send({ kind: "code", cpu: 0 });
    if (answer.ok) keepCode(answer.value as CompiledModules);
  }

  /** Pins threads to one host core, once for the pool's life, or lets all go: for pools of a serial mode. */
  async pin(wanted: boolean, hostThreadIds: readonly number[]): Promise<Pinning> {
    if (!wanted) {
      for (const { threads } of this.pinned.splice(0)) await threads.release();
      return notPinned("not asked for").state;
    }
    const done = new Set(this.pinned.flatMap(({ ids }) => ids));
    const ids = hostThreadIds.filter((id) => !done.has(id));
    if (ids.length === 0) return this.pinned[0].threads.state;
    const threads = await pinThreads(ids, this.pinned[0]?.threads.state.core);
    if (threads.state.pinned) this.pinned.push({ ids, threads });
    return threads.state;
  }

  /** Marks the pool as unfit for another machine. */
  poison(): void {
    this.poisoned = true;
  }

  /** Gives the pool back: kept for the next machine, or destroyed. */
  async release(): Promise<void> {
    if (this.poisoned) return this.destroy();
    idle.push(this);
    // The oldest goes: a sweep comes back to the shapes of its present row, and not to those of rows before.
    if (idle.length > KEPT_POOLS) await idle.shift()?.destroy();
  }

  /** Ends all threads, whatever they do. */
  async destroy(): Promise<void> {
    this.poisoned = true;
    await this.piscina.destroy();
  }
}

/** Ends the threads of all pools that wait for a machine. */
export async function destroyIdlePools(): Promise<void> {
  await Promise.all(idle.splice(0).map((pool) => pool.destroy()));
}
