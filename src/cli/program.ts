/** The commands, put together. */

import { Command } from "commander";
import { versions } from "../experiment/host.ts";
import { addBench } from "./bench.ts";
import { addBoot } from "./boot.ts";
import { addConform } from "./conform.ts";
import { addDoctor } from "./doctor.ts";
import { addExplore, addReplay } from "./explore.ts";
import { addLayout } from "./layout.ts";
import { addProc } from "./proc.ts";
import { addProfiles } from "./profiles.ts";
import { addRun } from "./run.ts";
import { addStart } from "./start.ts";
import { addStress } from "./stress.ts";
import { addTop } from "./top.ts";
import { addWalk } from "./walk.ts";
import { addWorkloads } from "./workloads.ts";

const ABOUT = `A laboratory for the memory management of a multiprocessor kernel: every simulated CPU is a real thread.`;

const MORE = `
Begin with:
  smpsim start        the standard sweep: how this computer scales, and a simulated one; a report in reports/
  smpsim doctor       what this computer can and cannot do
  smpsim workloads    what can be measured
  smpsim walk         how a virtual address is translated, step by step, on an example
  smpsim layout       the map of an address space
  smpsim top slab     object caches while a workload runs
  smpsim run FILE.ts  a program of your own: processes, threads, memory
  smpsim profiles     the machines of simulated time
  smpsim bench page-repeat --cpus 1,2 --compare pageLists=6.12,off
  smpsim bench page-bulk --mode virtual       26 CPUs of a real machine, simulated

Results go to stdout, progress to stderr.  Exit codes: 0 fine, 1 a fault was found, 2 wrong usage.`;

export function createProgram(): Command {
  const program = new Command("smpsim")
    .description(ABOUT)
    .version(versions().smpsim)
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .configureHelp({ sortSubcommands: false, helpWidth: 110 })
    .addHelpText("after", MORE);
  addStart(program);
  addBoot(program);
  addBench(program);
  addRun(program);
  addStress(program);
  addExplore(program);
  addReplay(program);
  addProc(program);
  addWalk(program);
  addLayout(program);
  addTop(program);
  addWorkloads(program);
  addProfiles(program);
  addConform(program);
  addDoctor(program);
  return program;
}
