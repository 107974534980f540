/**
 * What a CPU's thread does with a task: attach to a machine, run a program, report.
 *
 * Errors cross as data.  The first CPU that fails writes its fault, with the report of who holds and waits for what,
 * *before* it stops the others.
 */

import { threadId } from "node:worker_threads";
import { bug, KernelBug, MachineStopped, UsageError } from "../memory/bug.ts";
import { Control, CpuControl, cpuControl } from "../memory/control.ts";
import { shape } from "../memory/shape.ts";
import { raisePanic } from "../schedule/panic.ts";
import { attachCpu, type CpuThread } from "./attach.ts";
import { collectGarbage } from "./collect.ts";
import { faultOf } from "./fault.ts";
import { hangReport } from "./hang-report.ts";
import { packCounts } from "./line-counts.ts";
import { lockResults } from "./lock-results.ts";
import type { KernelModule, LockResult } from "./program.ts";
import type { BootAnswer, CpuAnswer, CpuTask, RunValue } from "./task.ts";

/** The part for campaigns, on threads of explore mode. */
const campaigns = shape.mode === "explore" ? await import("./explore-serve.ts") : null;

/** All but what the thread does without the kernel. */
type ServedTask = Exclude<CpuTask, { readonly kind: "code" }>;

const threads = new Map<number, CpuThread>();

/** Executes `task` on this CPU's thread; never rejects. */
export async function serve(task: ServedTask): Promise<CpuAnswer> {
  try {
    return { ok: true, value: await execute(task), threadId };
  } catch (error) {
    return error instanceof Failed ? error.answer : failed(error, task);
  }
}

async function execute(task: ServedTask): Promise<unknown> {
  switch (task.kind) {
    case "attach": {
      const thread = attachCpu(task.machine, task.cpu, task.boots);
      threads.set(task.machine.id, thread);
      return bootAnswer(thread);
    }
    case "setup": {
      const module = await moduleFor(task);
      return alone(task, (t) => module.setup?.(t.kernel, task.options) ?? null);
    }
    case "check": {
      const module = await moduleFor(task);
      return alone(
        task,
        (t) => module.check?.(t.kernel, task.options, task.values, task.shared, t.local) ?? null,
      );
    }
    case "run": {
      const module = await moduleFor(task);
      return run(threadOf(task.id), module, task);
    }
    case "join": {
      const module = await moduleFor(task);
      return alone(task, (t) => join(t, module, task));
    }
    case "prepare":
      return ofCampaigns().prepareCampaign(threadOf(task.id), task.campaign);
    case "explore": {
      const module = await moduleFor(task);
      return ofCampaigns().explorePart(threadOf(task.id), module, task);
    }
    case "inspect": {
      const { checkKernel } = await import("./inspect.ts");
      return alone(task, ({ kernel }) => checkKernel(kernel));
    }
    case "leaks": {
      const { findLeaks } = await import("../mm/leaks/leaks.ts");
      return alone(task, ({ kernel }) => findLeaks(kernel));
    }
    case "proc": {
      const { renderReport, orRefusal } = await import("./inspect.ts");
      return alone(task, ({ kernel }) => orRefusal(() => renderReport(kernel, task.report)));
    }
    case "walk": {
      const { orRefusal } = await import("./inspect.ts");
      const { answerWalk } = await import("../procfs/walk/walk-answer.ts");
      return alone(task, ({ kernel }) => orRefusal(() => answerWalk(kernel, task.request)));
    }
    case "lines": {
      const { collectLines } = await import("./line-collect.ts");
      return collectLines(threadOf(task.id), task.counts);
    }
    case "release":
      threads.delete(task.id);
      if (task.collect) collectGarbage();
      return null;
  }
}

function bootAnswer({ bootLog, kernel }: CpuThread): BootAnswer {
  const { kind, globals } = kernel.slabs;
  return { log: bootLog, slabs: { kind, globals, nodes: kernel.topology.nodes } };
}

function ofCampaigns(): NonNullable<typeof campaigns> {
  return campaigns ?? bug("this machine is not in explore mode");
}

type TaskOfMachine = Extract<CpuTask, { readonly id: number }>;

/** Runs `body` on this CPU while no other runs. */
function alone<T>(task: TaskOfMachine, body: (thread: CpuThread) => T): T {
  const thread = threadOf(task.id);
  return onTurn(thread, task, 1, () => {
    thread.kernel.bringUp(thread.kernel.cpu.id);
    const value = body(thread);
    thread.kernel.takeDown();
    return value;
  });
}

/** Runs `body` as one of `parties` CPUs.  When it fails, the machine stops before another CPU gets the turn. */
function onTurn<T>({ turn }: CpuThread, task: CpuTask, parties: number, body: () => T): T {
  turn.enter(parties);
  try {
    return body();
  } catch (error) {
    throw new Failed(failed(error, task));
  } finally {
    turn.leave();
  }
}

/** A failure that has been told already. */
class Failed extends Error {
  readonly answer: CpuAnswer;

  constructor(answer: CpuAnswer) {
    super("this CPU has failed");
    this.answer = answer;
  }
}

/** The program's own preparations on this CPU. */
function join(thread: CpuThread, module: KernelModule, task: CpuTask & { kind: "join" | "run" }): null {
  thread.kernel.regions.forgetProgram();
  thread.local = module.attach?.(thread.kernel, task.options, task.shared) ?? null;
  return null;
}

function run(thread: CpuThread, module: KernelModule, task: CpuTask & { kind: "run" }): RunValue {
  const { kernel, control } = thread;
  const self = cpuControl(task.cpu);
  const doubles = new Float64Array(control.buffer);
  const before = {
    parks: doubles[(self + CpuControl.parks) >> 1],
    slices: doubles[(self + CpuControl.slices) >> 1],
  };
  return onTurn(thread, task, kernel.cpus, () => {
    kernel.bringUp(task.cpu);
    kernel.spin.stats.reset();
    kernel.beginRun(task.operations, task.seconds);
    join(thread, module, task);
    kernel.gate();
    if (task.cpu === 0) {
      Atomics.store(control, Control.running, 1);
      Atomics.notify(control, Control.running);
    }
    thread.takeLineCounts(); // what the program does is counted, not its preparations
    const startNs = kernel.cpu.nowNs();
    const value = module.run(kernel, task.options, task.shared, thread.local) ?? null;
    const elapsedNs = kernel.cpu.nowNs() - startNs;
    const locks = idleUntilAllEnd(thread);
    const lines = thread.takeLineCounts();
    kernel.takeDown();
    const result = {
      cpu: task.cpu,
      phases: kernel.takePhases(),
      elapsedNs,
      value,
      log: kernel.takeLog(),
      parks: doubles[(self + CpuControl.parks) >> 1] - before.parks,
      slices: doubles[(self + CpuControl.slices) >> 1] - before.slices,
    };
    return { result, locks, lines: lines === null ? null : packCounts(lines) };
  });
}

/**
 * This CPU's program has ended: it answers interrupts until all have.  The last one gets the statistics of locks, since
 * CPUs that leave the run wait for each other, which is none of the program's waiting.
 */
function idleUntilAllEnd({ kernel, control, machine }: CpuThread): readonly LockResult[] | null {
  if (Atomics.sub(control, Control.unfinished, 1) === 1) {
    const locks = lockResults(kernel, machine.buffers.ram);
    for (let cpu = 0; cpu < kernel.cpus; cpu++) if (cpu !== kernel.cpu.id) kernel.cpu.turn.kick(cpu);
    return locks;
  }
  while (Atomics.load(control, Control.unfinished) > 0) kernel.cpu.halt();
  return null;
}

function threadOf(id: number): CpuThread {
  const thread = threads.get(id);
  if (thread === undefined) throw new KernelBug(`this thread has no machine ${id}`);
  return thread;
}

/** The module, and what it needs of the kernel, on this CPU's thread. */
async function moduleFor({
  id,
  moduleUrl,
}: {
  readonly id: number;
  readonly moduleUrl: string;
}): Promise<KernelModule> {
  const module = await importModule(moduleUrl);
  const { kernel } = threadOf(id);
  if (module.needs?.includes("scheduler") && !kernel.hasScheduler) {
    const { TaskScheduler } = await import("../process/tasks/task-scheduler.ts");
    kernel.installScheduler(new TaskScheduler(kernel));
  }
  if (module.needs?.includes("reports")) kernel.installReports((await import("./inspect.ts")).renderReport);
  return module;
}

async function importModule(url: string): Promise<KernelModule> {
  const module = (await import(url)) as KernelModule & { readonly main?: unknown };
  if (typeof module.run === "function") return module;
  if (module.main === undefined)
    throw new UsageError(
      `${url} exports neither a function "run(kernel, options, shared)" nor a program "main(user)"`,
    );
  const { userProgramModule } = await import("./user-program.ts");
  return userProgramModule({ ...module });
}

function failed(error: unknown, task: CpuTask): CpuAnswer {
  if (error instanceof MachineStopped) return { ok: false, stopped: true, threadId };
  const thread = "id" in task ? threads.get(task.id) : undefined;
  if (thread === undefined)
    return { ok: false, stopped: false, fault: faultOf(error, task.cpu, ""), threadId };
  const report = hangReport(thread.machine, thread.control);
  const fault = faultOf(error, task.cpu, report, task.kind === "check");
  if (!raisePanic(thread.control, task.cpu, thread.machine.config.cpus)) {
    return { ok: false, stopped: true, threadId };
  }
  return { ok: false, stopped: false, fault, threadId };
}
