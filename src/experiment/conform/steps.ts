/**
 * Recorded scenarios in plain text: a line a step, and the mappings after it.
 *
 *   SCENARIO name
 *   STEP label   ret=R minflt=n majflt=n
 *     [start,end) perm off=pages kind rss= sc= sd= pc= pd= anon= thp= swap= lock= |VmFlags
 *     vec=...
 *
 * What a label means is in labels.ts.  Between two steps the recorder may have touched pages for a mincore: those that the
 * answer names and that were not there.  They are touched before the step, and not counted.
 *
 * What the format means is in test/oracle/vmtrace/README.md.
 */

import { UsageError } from "../../memory/bug.ts";
import { argumentsOf, type Step, type StepMap } from "./labels.ts";
import type { Trace, TraceFormat, TraceRecord, TraceResult } from "./trace.ts";

/** Pages of the arena, and where it is: at the begin of a 512 GiB region. */
const PAGES = 16384;
const BASE = "0x200000000000";
const KB_OF_PAGE = 4;
const SIGNALS: Readonly<Record<string, number>> = { SEGV: 11, BUS: 7 };
const STEP = /^STEP (.*?) +ret=(\S+) minflt=(\d+) majflt=(\d+)\s*$/;
const MAPPING = new RegExp(
  String.raw`^\s+\[\s*(\d+),\s*(\d+)\) (\S{4}) off=(\d+) (\w+) rss=(\d+) sc=(\d+) sd=(\d+) pc=(\d+) pd=(\d+)` +
    String.raw` anon=(\d+) thp=(\d+) swap=(\d+) lock=(\d+) \|(.*)$`,
);

const FORMAT: TraceFormat = {
  profile: "text",
  fields: [
    "perm",
    "offset",
    "kind",
    "vmFlags",
    "rss",
    "anon",
    "sharedClean",
    "sharedDirty",
    "privateClean",
    "privateDirty",
    "thp",
    "swap",
    "locked",
  ],
  hasValues: false,
  answer: (ret, op) => ({ text: answerText(ret, op) }),
};

/** Whether a file's text is of this format. */
export const isScenario = (text: string): boolean => text.startsWith("SCENARIO ");

/** Reads a scenario; a UsageError names the file and the line that is wrong. */
export function parseScenario(name: string, text: string): Trace {
  const steps: Step[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "" || (i === 0 && isScenario(line))) continue;
    const last = steps.at(-1);
    const step = STEP.exec(line);
    const map = MAPPING.exec(line);
    const vec = /^\s+vec=([01]+)\s*$/.exec(line);
    if (step !== null)
      steps.push({ label: step[1], ret: step[2], minflt: Number(step[3]), maps: [], vec: null });
    else if (map !== null && last !== undefined) last.maps.push(mappingOf(map));
    else if (vec !== null && last !== undefined) last.vec = vec[1];
    else throw new UsageError(`${name}, line ${i + 1}: neither a step nor a mapping: ${line.slice(0, 60)}`);
  }
  const records = argumentsOf(steps).flatMap(({ op, args, touched }, i): TraceRecord[] => [
    ...touched.map((own) => ({ i, ...own, ret: { text: "0" }, isSetup: true as const })),
    {
      i,
      op,
      label: steps[i].label,
      args,
      ret: { text: steps[i].ret },
      minflt: steps[i].minflt,
      maps: steps[i].maps,
      ...(steps[i].vec === null ? {} : { val: steps[i].vec }),
    },
  ]);
  const header = { format: "vmtrace", pages: PAGES, base: BASE, profile: FORMAT.profile, files: null };
  return { name, format: FORMAT, header, records };
}

function mappingOf(found: RegExpExecArray): StepMap {
  const [start, end, offset] = [found[1], found[2], found[4]].map(Number);
  const [rss, sharedClean, sharedDirty, privateClean, privateDirty] = found.slice(6, 11).map(Number);
  const [anon, thp, swap, locked] = found.slice(11, 15).map(Number);
  return {
    start,
    end,
    perm: found[3],
    offset,
    kind: found[5],
    rss: rss / KB_OF_PAGE,
    anon: anon / KB_OF_PAGE,
    thp: thp / KB_OF_PAGE,
    swap: swap / KB_OF_PAGE,
    sharedClean,
    sharedDirty,
    privateClean,
    privateDirty,
    locked,
    vmFlags: found[15].trim(),
  };
}

/** An errno's name, a page, a signal's number; an access that succeeds is 0; an address outside the arena is a number. */
function answerText(ret: TraceResult, op: string): string {
  if (ret.errno !== undefined) return String(ret.errno);
  if (ret.sig !== undefined) return String(SIGNALS[ret.sig]);
  if (ret.page === undefined) return op === "read" || op === "write" ? "0" : String(ret.ok);
  const page = Number(ret.page);
  return page >= 0 ? `page:${page}` : String(page * KB_OF_PAGE * 1024 + Number(BASE));
}
