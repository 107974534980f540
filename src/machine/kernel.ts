/**
 * The kernel as one CPU sees it: an explicit object per worker, given to every kernel module.
 *
 * Two machines may live in one worker; nothing here is global.
 */

import type { Cpu } from "../hardware/cpu.ts";
import type { Topology } from "../hardware/topology.ts";
import { bug, UsageError } from "../memory/bug.ts";
import { Control } from "../memory/control.ts";
import type { Memory } from "../memory/memory.ts";
import { Regions } from "../memory/regions.ts";
import { shape } from "../memory/shape.ts";
import { struct, word } from "../memory/struct.ts";
import { TraceEvent } from "../memory/trace.ts";
import { FRAME_WORDS, frameOf } from "../memory/units.ts";
import { BOOT_INFO, BootInfo, type BootRecord } from "../mm/boot/boot-info.ts";
import { Mempolicies } from "../mm/pages/mempolicy.ts";
import { PAGEBLOCK_PAGES } from "../mm/pages/migrate-types.ts";
import { Page } from "../mm/pages/page.ts";
import type { PageAllocator } from "../mm/pages/page-allocator.ts";
import { Pageblock } from "../mm/pages/page-globals.ts";
import { PerCpuAllocator } from "../mm/percpu/percpu-allocator.ts";
import { Paging } from "../mm/shootdown/paging.ts";
import { DmaPools } from "../mm/slab/dma-pool.ts";
import { Failslab } from "../mm/slab/failslab.ts";
import { Kmalloc } from "../mm/slab/kmalloc.ts";
import { Mempools } from "../mm/slab/mempool.ts";
import { SlabCaches } from "../mm/slab/slab-caches.ts";
import { KernelStacks } from "../mm/stacks/kernel-stacks.ts";
import type { KernelVirtual } from "../mm/vmap/kernel-virtual.ts";
import { Vmalloc } from "../mm/vmap/vmalloc.ts";
import { Processes } from "../process/processes.ts";
import type { TaskScheduler } from "../process/tasks/task-scheduler.ts";
import { passGate } from "../schedule/gate.ts";
import { Barriers } from "../sync/barrier.ts";
import { Completions } from "../sync/completion.ts";
import { Conditions } from "../sync/condition.ts";
import { CpuMasks } from "../sync/cpumask.ts";
import { Functions } from "../sync/functions.ts";
import { CrossCalls } from "../sync/ipi.ts";
import { Mutexes } from "../sync/mutex.ts";
import { Onces } from "../sync/once.ts";
import { OnlineCpus } from "../sync/online.ts";
import { PerCpu } from "../sync/percpu.ts";
import { PerCpuCounters } from "../sync/percpu-counter.ts";
import { Rcu } from "../sync/rcu.ts";
import { RwLocks } from "../sync/rwlock.ts";
import { RwSemaphores } from "../sync/rwsem.ts";
import { Semaphores } from "../sync/semaphore.ts";
import { SeqLocks } from "../sync/seqlock.ts";
import { Sleepers } from "../sync/sleeper.ts";
import type { SpinLocks } from "../sync/spinlock.ts";
import { Tasks } from "../sync/task.ts";
import { TlbBroadcasts } from "../sync/tlb-broadcast.ts";
import { WaitQueues } from "../sync/wait-queue.ts";
import type { ResolvedConfig } from "./config.ts";
import { hostText } from "./host-text.ts";
import type { KernelImage } from "./image.ts";
import type { PhaseResult } from "./program.ts";
import { installTick } from "./tick.ts";

/** Per-CPU memory given out at run time: nobody has said what it holds. */
const PerCpuWord = struct("percpu_word", { value: word("owner-cpu") });

const checks = shape.checks;
const simulated = shape.mode === "virtual";

export interface KernelParts {
  readonly cpu: Cpu;
  readonly memory: Memory;
  readonly control: Int32Array;
  readonly config: ResolvedConfig;
  readonly image: KernelImage;
  readonly record: BootRecord;
  readonly spin: SpinLocks;
  readonly pages: PageAllocator;
}

export class Kernel {
  declare readonly cpu: Cpu;
  declare readonly memory: Memory;
  /** Names addresses, for reports. */
  readonly regions = new Regions();
  declare readonly topology: Topology;
  declare readonly image: KernelImage;
  /** Where boot has put things. */
  declare readonly record: BootRecord;
  declare readonly spin: SpinLocks;
  declare readonly rwlocks: RwLocks;
  declare readonly seqlocks: SeqLocks;
  declare readonly mutexes: Mutexes;
  declare readonly rwsems: RwSemaphores;
  declare readonly functions: Functions;
  declare readonly masks: CpuMasks;
  declare readonly online: OnlineCpus;
  declare readonly calls: CrossCalls;
  /** Messages to the TLBs of other CPUs: the hardware's, with the setting shootdown=broadcast. */
  declare readonly broadcasts: TlbBroadcasts;
  declare readonly rcu: Rcu;
  declare readonly perCpu: PerCpu;
  /** What is behind `perCpu.alloc`. */
  declare readonly perCpuChunks: PerCpuAllocator;
  declare readonly counters: PerCpuCounters;
  declare readonly tasks: Tasks;
  declare readonly stacks: KernelStacks;
  declare readonly waitQueues: WaitQueues;
  declare readonly completions: Completions;
  declare readonly semaphores: Semaphores;
  declare readonly conditions: Conditions;
  declare readonly barriers: Barriers;
  declare readonly onces: Onces;
  declare readonly pages: PageAllocator;
  /** Which node a task's pages come from. */
  declare readonly mempolicies: Mempolicies;
  /** Object caches: kmem_cache_create and its kin. */
  declare readonly slabs: SlabCaches;
  /** Address spaces. */
  declare readonly processes: Processes;
  /** Page tables, TLBs, what programs access. */
  declare readonly paging: Paging;
  /** Memory by size: kmalloc and its kin. */
  declare readonly heap: Kmalloc;
  /** Kernel virtual memory: vmalloc and its kin. */
  declare readonly vmap: Vmalloc;
  /** Allocators with a reserve. */
  declare readonly mempools: Mempools;
  /** Blocks for devices. */
  declare readonly dmaPools: DmaPools;
  /** Which object allocations fail. */
  declare readonly failslab: Failslab;
  /** CPUs that run programs. */
  declare readonly cpus: number;
  declare readonly seed: number;
  private taskScheduler: TaskScheduler | null = null;
  private lines: string[] = [];
  private render: ((kernel: Kernel, name: string) => string) | null = null;
  declare private readonly control: Int32Array;
  private limit = Infinity;
  private deadlineNs = Infinity;
  private phases = new Map<string, { operations: number; elapsedNs: number }>();

  constructor(parts: KernelParts) {
    this.cpu = parts.cpu;
    this.memory = parts.memory;
    this.control = parts.control;
    this.cpus = parts.config.cpus;
    this.seed = parts.config.seed;
    this.topology = parts.config.topology;
    this.image = parts.image;
    this.record = parts.record;
    const { cpu, memory, image } = parts;
    this.regions.addLater((regions) => this.nameMemory(regions));
    this.spin = parts.spin;
    this.rwlocks = new RwLocks(cpu, this.spin);
    this.seqlocks = new SeqLocks(cpu, this.spin);
    this.mutexes = new Mutexes(cpu, this.spin, image.sleeping);
    this.rwsems = new RwSemaphores(cpu, this.spin, image.sleeping);
    this.functions = new Functions(cpu, image.functions);
    this.masks = new CpuMasks(memory, this.topology.possibleCpus);
    this.online = new OnlineCpus(this.masks, image.online);
    this.calls = new CrossCalls({ ...this, slots: image.calls });
    this.broadcasts = new TlbBroadcasts({ ...this, slot: image.broadcasts });
    this.rcu = new Rcu({ ...this, locks: this.spin, slots: image.rcu });
    const { masks, spin: locks, record } = this;
    this.perCpu = new PerCpu({ cpu, cpus: masks.cpus, unitWords: record.unitWords });
    this.counters = new PerCpuCounters({ memory, locks, perCpu: this.perCpu, cpus: masks.cpus });
    this.tasks = new Tasks(cpu, image.tasks);
    this.tasks.attach();
    const sleepers = new Sleepers(cpu, image.sleeping.sleepers);
    this.waitQueues = new WaitQueues({ ...this, locks, sleepers, entries: image.waitEntries });
    this.completions = new Completions(cpu, this.waitQueues);
    this.semaphores = new Semaphores({ cpu, locks, sleepers, waiters: image.semaphoreWaiters });
    this.conditions = new Conditions(cpu, this.waitQueues, this.mutexes);
    this.barriers = new Barriers(cpu);
    this.onces = new Onces(cpu);
    this.pages = parts.pages;
    this.mempolicies = new Mempolicies(cpu, this.pages, this.topology.cpuNode[cpu.id]);
    const report = (text: string): void => this.printk(text);
    this.pages.install({ report });
    this.failslab = new Failslab(cpu, image.failslab);
    this.perCpuChunks = new PerCpuAllocator({ ...this, locks, slots: image.perCpu, report });
    this.perCpu.install(this.perCpuChunks);
    const { cpuNode, possibleCpus } = this.topology;
    const place = { cpuNode, possibleCpus, localNode: cpuNode[cpu.id] };
    const { shape: choice, slabSettings: settings, threadBytes } = parts.config;
    const kind = choice.slab;
    this.slabs = new SlabCaches({ ...this, ...place, locks, kind, settings, slots: image.slabs, report });
    this.stacks = new KernelStacks({ ...this, threadBytes });
    this.heap = new Kmalloc({ ...this, ...place, slot: image.kmalloc, report });
    this.mempools = new Mempools({ ...this, locks });
    this.dmaPools = new DmaPools({ ...this, locks, report });
    const { pageLevels: levels } = parts.config;
    this.vmap = new Vmalloc({ ...this, locks, levels, slots: image.vmap, possibleCpus, report });
    this.paging = new Paging({ ...this, locks, levels, slots: image.paging });
    const { vmSettings } = parts.config;
    this.processes = new Processes({ ...this, locks, slots: image.processes, vmSettings });
    installTick(cpu, this.rcu, this.pages, this.slabs);
  }

  /** Tasks of programs: for modules that export `needs`. */
  get scheduler(): TaskScheduler {
    const why = 'a module that uses kernel.scheduler exports `needs = ["scheduler"]`';
    return this.taskScheduler ?? bug(`cpu ${this.cpu.id}: the scheduler is not loaded: ${why}`);
  }

  get hasScheduler(): boolean {
    return this.taskScheduler !== null;
  }

  installScheduler(scheduler: TaskScheduler): void {
    this.taskScheduler = scheduler;
  }

  /** Access at kernel virtual addresses, through the TLB and the tables. */
  get virtual(): KernelVirtual {
    return this.vmap.virtual;
  }

  /** Registers what boot has placed. */
  private nameMemory(regions: Regions): void {
    const { image, pages, record } = this;
    const { possibleCpus } = this.topology;
    const { perCpuStart, perCpuWords, reservedWords, dynamicWords, unitWords, memMap, maxPfn } = record;
    image.layout.register(regions, possibleCpus);
    regions.add("boot_info", BOOT_INFO, BootInfo);
    regions.add("mem_map", memMap, Page, maxPfn);
    regions.add("pageblock", pages.frames.pageblocks, Pageblock, Math.ceil(maxPfn / PAGEBLOCK_PAGES));
    const window = image.mm.plan.perCpuWindow;
    if (window.pages > 0)
      regions.add("pcpu_chunks", frameOf(window.startPfn), PerCpuWord, window.pages * FRAME_WORDS);
    for (let cpu = 0; cpu < possibleCpus; cpu++) {
      const reserved = perCpuStart + cpu * unitWords + perCpuWords;
      regions.add(`pcpu_reserved@cpu${cpu}`, reserved, PerCpuWord, reservedWords);
      regions.add(`pcpu_dynamic@cpu${cpu}`, reserved + reservedWords, PerCpuWord, dynamicWords);
    }
  }

  /** The text of a file of the host, such as a recording to replay.  Throws UsageError. */
  hostText(path: string): string {
    return hostText(path);
  }

  /**
   * A report of /proc, as this CPU sees it now: "self/maps", "meminfo".  The module that asks exports `needs = ["reports"]`.
   * Throws UsageError for a report that there is none.  @may-sleep
   */
  proc(name: string): string {
    if (this.render === null)
      throw new UsageError('a module that uses kernel.proc exports `needs = ["reports"]`');
    return this.render(this, name);
  }

  installReports(render: (kernel: Kernel, name: string) => string): void {
    this.render = render;
  }

  /** Writes to the kernel log; a run's result carries what its CPUs wrote. */
  printk(text: string): void {
    this.lines.push(text);
  }

  /** The kernel log of this CPU since the last call. */
  takeLog(): string[] {
    const { lines } = this;
    this.lines = [];
    return lines;
  }

  // ---- CPUs that come and go ----

  /** `cpu` takes part from here on: it answers interrupts, and grace periods wait for its readers. */
  bringUp(cpu: number): void {
    this.online.bringUp(cpu);
    this.rcu.join(cpu);
  }

  /**
   * This CPU takes part no more.  The last one runs the RCU callbacks that are left.  These, and what others have asked of
   * it until it was offline, may free objects here: its slabs go to their nodes at last.  Its counters are folded: it
   * has no tick that would do it later.
   */
  takeDown(): void {
    this.processes.mlocks.drain();
    this.paging.leave();
    this.perCpuChunks.flushBalance();
    if (checks) this.cpu.stack.checkAtRest();
    this.rcu.leave();
    this.online.takeDown(this.cpu.id);
    // From here on no flush reaches this CPU.
    this.cpu.tlb.powerOff();
    const flags = this.cpu.irqSave();
    this.calls.flush();
    this.broadcasts.take();
    this.cpu.irqRestore(flags);
    this.slabs.leave();
    this.pages.vmstatUpdate.quiet();
  }

  // ---- what a program times and how long it goes on ----

  /** Whether a loop that has done `operations` goes on: until the run's time is up or its operations are done. */
  more(operations: number): boolean {
    if (simulated && this.cpu.nowNs() >= this.deadlineNs) return false;
    return operations < this.limit && this.control[Control.stop] === 0;
  }

  /** Operations of this run on each CPU; Infinity in timed runs. */
  get operationLimit(): number {
    return this.limit;
  }

  /** Waits until every CPU is here. */
  gate(): void {
    passGate(this.cpu, this.control, this.cpus);
  }

  /** Whether all CPUs go on with another round; all get the same answer, and all meet here. */
  anotherRound(operations: number): boolean {
    if (this.cpu.id === 0) this.control[Control.anotherRound] = this.more(operations) ? 1 : 0;
    this.gate();
    const goesOn = this.control[Control.anotherRound] !== 0;
    this.gate();
    return goesOn;
  }

  /**
   * Runs `body` from a common start; it returns how many operations it did.  Phases of one name add up.
   */
  phase(name: string, body: () => number): void {
    this.gate();
    const known = [...this.phases.keys()].indexOf(name);
    const number = known < 0 ? this.phases.size : known;
    this.cpu.trace.record(TraceEvent.PHASE_BEGIN, number, 0);
    const start = this.cpu.nowNs();
    const operations = body();
    const elapsedNs = this.cpu.nowNs() - start;
    this.cpu.trace.record(TraceEvent.PHASE_END, number, 0);
    const sum = this.phases.get(name) ?? { operations: 0, elapsedNs: 0 };
    this.phases.set(name, { operations: sum.operations + operations, elapsedNs: sum.elapsedNs + elapsedNs });
  }

  /**
   * Forgets the phases of the run before; `limit` operations a CPU, Infinity for a timed run, which in simulated time
   * ends after `seconds` of it.
   */
  beginRun(limit: number, seconds = Infinity): void {
    this.limit = limit;
    this.deadlineNs = this.cpu.nowNs() + seconds * 1e9;
    this.phases = new Map();
  }

  takePhases(): PhaseResult[] {
    return [...this.phases].map(([name, sum]) => ({ name, ...sum }));
  }
}
