/**
 * smpsim as a library.
 *
 *     import { Machine } from "smpsim";
 *     const machine = await Machine.boot({ cpus: 4, memory: "256MiB" });
 *     const result = await machine.run("page-repeat", { seconds: 1 });
 *     await machine.halt();
 *
 * `bench` measures over numbers of CPUs and returns a report; `explore` and `replay` search schedules and repeat one.
 * A wrong option is a UsageError that says what is valid; a fault of a run is a value in its result.
 */

export type { BaselineComparison, Verdict } from "./experiment/baseline.ts";
export { compareWithBaseline } from "./experiment/baseline.ts";
export { type BenchOptions, bench } from "./experiment/bench.ts";
export { type Hint, hintsFor } from "./experiment/cache-line-hints.ts";
export { cacheLinesCsv } from "./experiment/cache-line-tables.ts";
export { csvOf } from "./experiment/csv.ts";
export { htmlReport } from "./experiment/html.ts";
export type {
  AuditResult,
  Experiment,
  PhaseRow,
  Report,
  Row,
  Simulation,
  VariantResult,
} from "./experiment/report-model.ts";
export type { Spread } from "./experiment/statistics.ts";
export type { Cpu } from "./hardware/cpu.ts";
export type { MachineConfig, ResolvedConfig } from "./machine/config.ts";
export type { ExploreOptions, ExploreResult, ReplayOptions, ReplayResult } from "./machine/explore.ts";
export { explore, replay } from "./machine/explore.ts";
export type { Kernel } from "./machine/kernel.ts";
export type { CacheLine, LineReport, LineWord } from "./machine/line-report.ts";
export { Machine } from "./machine/machine.ts";
export type {
  CpuResult,
  Fault,
  KernelModule,
  LockResult,
  PhaseResult,
  ProgramOptions,
  RunResult,
} from "./machine/program.ts";
export type { RunOptions } from "./machine/run.ts";
export type { TasksValue } from "./machine/user-program.ts";
export { UsageError } from "./memory/bug.ts";
export type { Memory } from "./memory/memory.ts";
export type { WaitResult } from "./process/tasks/blocking-calls.ts";
export type { StepProgram } from "./process/tasks/programs.ts";
export type { TaskScheduler } from "./process/tasks/task-scheduler.ts";
export type { User, YieldingUser } from "./process/tasks/user.ts";
export { procNames } from "./procfs/reports.ts";
export type { ScenarioDescription } from "./scenarios/description.ts";
export type { CreateLock, CustomLock } from "./sync/custom-lock.ts";
export type { MetricsValue, WorkloadDescription } from "./workloads/description.ts";
