/**
 * What a CPU's thread does with a task: attach to a machine, run a program, report.
 *
 * Errors cross as data.  The first CPU that fails writes its fault, with the report of who holds and waits for what,
 * *before* it stops the others.
 */

import { threadId } from "node:worker_threads";
import { KernelBug, MachineStopped } from "../memory/bug.ts";
import { Control, CpuControl, cpuControl } from "../memory/control.ts";
import { reachedMutants } from "../memory/mutants.ts";
import { Campaign } from "../schedule/explore/campaign.ts";
import { Pct, RandomWalk, Replay } from "../schedule/explore/strategy.ts";
import { raisePanic } from "../schedule/panic.ts";
import { attachCpu, type CpuThread } from "./attach.ts";
import { faultOf } from "./fault.ts";
import { inspectKernel } from "./inspect.ts";
import type { KernelModule } from "./program.ts";
import type { CampaignAnswer, CampaignTask, CpuAnswer, CpuTask, RunValue } from "./task.ts";

const threads = new Map<number, CpuThread>();

/** Executes `task` on this CPU's thread; never rejects. */
export async function serve(task: CpuTask): Promise<CpuAnswer> {
  try {
    return { ok: true, value: await execute(task), threadId };
  } catch (error) {
    return failed(error, task);
  }
}

async function execute(task: CpuTask): Promise<unknown> {
  switch (task.kind) {
    case "attach": {
      const thread = await attachCpu(task.machine, task.cpu, task.boots);
      threads.set(task.machine.id, thread);
      return thread.bootLog;
    }
    case "setup": {
      const module = await importModule(task.moduleUrl);
      return alone(threadOf(task.id), (t) => module.setup?.(t.kernel, task.options) ?? null);
    }
    case "check": {
      const module = await importModule(task.moduleUrl);
      return alone(
        threadOf(task.id),
        (t) => module.check?.(t.kernel, task.options, task.values, task.shared) ?? null,
      );
    }
    case "run": {
      const module = await importModule(task.moduleUrl);
      return run(threadOf(task.id), module, task);
    }
    case "prepare":
      return prepareCampaign(threadOf(task.id), task.campaign);
    case "explore": {
      const module = await importModule(task.moduleUrl);
      return explorePart(threadOf(task.id), module, task);
    }
    case "inspect":
      return alone(threadOf(task.id), ({ kernel }) => inspectKernel(kernel, task.what));
    case "release":
      threads.delete(task.id);
      return null;
  }
}

/** Runs `body` on this CPU while no other runs. */
function alone<T>(thread: CpuThread, body: (thread: CpuThread) => T): T {
  const { turn, kernel } = thread;
  turn.enter(1);
  try {
    kernel.online.bringUp(kernel.cpu.id);
    const value = body(thread);
    kernel.online.takeDown(kernel.cpu.id);
    return value;
  } finally {
    turn.leave();
  }
}

function run(thread: CpuThread, module: KernelModule, task: CpuTask & { kind: "run" }): RunValue {
  const { kernel, turn, control } = thread;
  const self = cpuControl(task.cpu);
  const doubles = new Float64Array(control.buffer);
  const before = {
    parks: doubles[(self + CpuControl.parks) >> 1],
    slices: doubles[(self + CpuControl.slices) >> 1],
  };
  turn.enter(kernel.cpus);
  try {
    kernel.online.bringUp(task.cpu);
    kernel.spin.stats.reset();
    kernel.beginRun(task.operations);
    kernel.gate();
    if (task.cpu === 0) {
      Atomics.store(control, Control.running, 1);
      Atomics.notify(control, Control.running);
    }
    const value = module.run(kernel, task.options, task.shared) ?? null;
    idleUntilAllEnd(thread);
    kernel.online.takeDown(task.cpu);
    return {
      cpu: task.cpu,
      phases: kernel.takePhases(),
      value,
      log: kernel.takeLog(),
      parks: doubles[(self + CpuControl.parks) >> 1] - before.parks,
      slices: doubles[(self + CpuControl.slices) >> 1] - before.slices,
    };
  } finally {
    turn.leave();
  }
}

function campaignOf(thread: CpuThread, task: CampaignTask): Campaign {
  const { explore, control } = thread;
  if (explore === null) throw new KernelBug("this machine is not in explore mode");
  const strategy =
    task.strategy === "random"
      ? new RandomWalk(control)
      : task.strategy === "pct"
        ? new Pct(control, task.depth)
        : new Replay(control, explore.replay);
  return new Campaign({ ...explore, control, strategy, plan: task.plan });
}

/** Every execution starts from here: all CPUs are up. */
function prepareCampaign(thread: CpuThread, task: CampaignTask): null {
  const { online, cpus } = thread.kernel;
  for (let cpu = 0; cpu < cpus; cpu++) online.bringUp(cpu);
  campaignOf(thread, task).prepare();
  return null;
}

function explorePart(
  thread: CpuThread,
  module: KernelModule,
  task: CpuTask & { kind: "explore" },
): CampaignAnswer {
  const { kernel } = thread;
  const end = campaignOf(thread, task.campaign).run({
    run: () => {
      kernel.beginRun(Infinity);
      module.run(kernel, task.options, task.shared);
    },
    check: () => module.check?.(kernel, task.options, [], task.shared),
  });
  const failure = end.failure && {
    execution: end.failure.execution,
    step: end.failure.step,
    tape: end.failure.tape,
    fault: faultOf(end.failure.error, thread),
  };
  return { failure, hash: end.hash, reached: reachedMutants() };
}

/** This CPU's program has ended: it answers interrupts until all have. */
function idleUntilAllEnd({ kernel, control }: CpuThread): void {
  if (Atomics.sub(control, Control.unfinished, 1) === 1) {
    for (let cpu = 0; cpu < kernel.cpus; cpu++) if (cpu !== kernel.cpu.id) kernel.cpu.turn.kick(cpu);
    return;
  }
  while (Atomics.load(control, Control.unfinished) > 0) kernel.cpu.halt();
}

function threadOf(id: number): CpuThread {
  const thread = threads.get(id);
  if (thread === undefined) throw new KernelBug(`this thread has no machine ${id}`);
  return thread;
}

async function importModule(url: string): Promise<KernelModule> {
  const module = (await import(url)) as KernelModule;
  if (typeof module.run !== "function") {
    throw new KernelBug(`${url} exports no function "run(kernel, options, shared)"`);
  }
  return module;
}

function failed(error: unknown, task: CpuTask): CpuAnswer {
  if (error instanceof MachineStopped) return { ok: false, stopped: true, threadId };
  const thread = "id" in task ? threads.get(task.id) : undefined;
  const fault = faultOf(error, thread);
  if (thread !== undefined && !raisePanic(thread.control, task.cpu, thread.machine.config.cpus)) {
    return { ok: false, stopped: true, threadId };
  }
  return {
    ok: false,
    stopped: false,
    fault: { ...fault, cpu: task.cpu, ...(task.kind === "check" && { kind: "check" as const }) },
    threadId,
  };
}
