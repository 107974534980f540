/**
 * A CPU's thread in a campaign: strategy, program, and what a failure looks like as plain data.
 */

import { KernelBug } from "../memory/bug.ts";
import { forgetReached, reachedMutants } from "../memory/mutants.ts";
import { shape } from "../memory/shape.ts";
import { TraceEvent } from "../memory/trace.ts";
import { Campaign } from "../schedule/explore/campaign.ts";
import { Pct } from "../schedule/explore/pct.ts";
import { Portfolio } from "../schedule/explore/portfolio.ts";
import { RandomWalk } from "../schedule/explore/random-walk.ts";
import { Replay } from "../schedule/explore/replay.ts";
import { Scripts } from "../schedule/explore/scripts.ts";
import type { Strategy } from "../schedule/explore/strategy.ts";
import type { CpuThread } from "./attach.ts";
import { formatScene, lookAtCpus, placeNamer, type Scene } from "./explore-scene.ts";
import { faultOf } from "./fault.ts";
import type { KernelModule } from "./program.ts";
import type { CampaignAnswer, CampaignTask, CpuTask, SchedulerEvent } from "./task.ts";

const SHOWN_EVENTS: readonly number[] = [
  TraceEvent.IRQ_ENTER,
  TraceEvent.IRQ_EXIT,
  TraceEvent.IPI_SEND,
  TraceEvent.MARK,
];

function campaignOf(thread: CpuThread, task: CampaignTask): Campaign {
  const { explore, control } = thread;
  if (explore === null) throw new KernelBug("this machine is not in explore mode");
  return new Campaign({ ...explore, control, strategy: strategyOf(thread, task), plan: task.plan });
}

function strategyOf({ explore, control }: CpuThread, task: CampaignTask): Strategy {
  if (explore === null) throw new KernelBug("this machine is not in explore mode");
  switch (task.strategy) {
    case "random":
      return new RandomWalk(control);
    case "pct":
      return new Pct(control, task.depth);
    case "both":
      return new Portfolio(control, new Pct(control, task.depth), new RandomWalk(control));
    case "replay":
      return new Replay(control, explore.replay);
    case "scripts":
      return new Scripts(control, explore.replay);
  }
}

/** Every execution starts from here: all CPUs are up. */
export function prepareCampaign(thread: CpuThread, task: CampaignTask): null {
  const { kernel } = thread;
  for (let cpu = 0; cpu < kernel.cpus; cpu++) kernel.bringUp(cpu);
  campaignOf(thread, task).prepare();
  return null;
}

/** This CPU's part of a whole campaign. */
export function explorePart(
  thread: CpuThread,
  module: KernelModule,
  task: CpuTask & { kind: "explore" },
): CampaignAnswer {
  const { kernel, explore, local } = thread;
  const { campaign, options, shared, operations } = task;
  const { logFrom = Infinity } = campaign;
  const log = shape.trace ? (explore?.log ?? null) : null;
  log?.start(logFrom, placeNamer(thread));
  kernel.cpu.trace.clear();
  forgetReached();
  let checking = false;
  const end = campaignOf(thread, campaign).run<Scene>({
    run: () => {
      kernel.beginRun(operations);
      kernel.takeLog();
      module.run(kernel, options, shared, local);
    },
    check: () => {
      checking = true;
      module.check?.(kernel, options, [], shared, local);
      checking = false;
    },
    look: () => lookAtCpus(thread),
  });
  const { failure } = end;
  return {
    failure: failure && {
      execution: failure.execution,
      step: failure.step,
      tape: failure.tape,
      hash: failure.hash,
      scene: failure.scene,
      fault: faultOf(failure.error, task.cpu, formatScene(failure.scene).join("\n"), checking),
    },
    hash: end.hash,
    reached: reachedMutants(),
    kernelLog: kernel.takeLog(),
    log: log?.take() ?? null,
    events: log === null ? [] : schedulerEvents(thread, logFrom),
  };
}

function schedulerEvents({ kernel }: CpuThread, from: number): SchedulerEvent[] {
  return kernel.cpu.trace
    .last(Infinity)
    .filter((e) => e.timeNs >= from && SHOWN_EVENTS.includes(e.code))
    .map((e) => ({ step: e.timeNs, cpu: kernel.cpu.id, code: e.code, a: e.a, b: e.b }));
}
