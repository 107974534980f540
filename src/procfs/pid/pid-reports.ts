/** The reports on a single process, by the names of their files. */

import { UsageError } from "../../memory/bug.ts";
import { maps } from "./maps.ts";
import { numaMaps } from "./numa-maps.ts";
import { pagemap } from "./pagemap.ts";
import { places } from "./places.ts";
import { type ProcessView, processesOf, withProcess } from "./process.ts";
import { smaps } from "./smaps.ts";
import { smapsRollup } from "./smaps-rollup.ts";
import type { ProcessSource } from "./source.ts";
import { statm } from "./statm.ts";
import { status } from "./status.ts";

interface PidReport {
  readonly summary: string;
  render(source: ProcessSource, process: ProcessView): string;
}

/** A report that knows which process it is about. */
interface ProcessReport {
  readonly summary: string;
  render(source: ProcessSource): string;
}

export const PID_REPORTS: Readonly<Record<string, PidReport>> = {
  maps: { summary: "a process's mappings", render: maps },
  smaps: { summary: "of each mapping what is resident, shared, dirty, referenced, locked", render: smaps },
  smaps_rollup: { summary: "smaps of all mappings together", render: smapsRollup },
  status: { summary: "what a process is, and its memory", render: status },
  statm: { summary: "its memory in pages: seven numbers", render: statm },
  pagemap: { summary: "frame and state of each page that is there", render: pagemap },
  places: { summary: "where its text, heap, mappings and stack are; not a file of Linux", render: places },
  numa_maps: { summary: "of each mapping the nodes of its pages", render: numaMaps },
};

/** How a list of reports names them. */
export const pidName = (file: string): string => `PID/${file}`;
const FORM = /^(\d+|self|PID)\/(\w+)$/;

/** The report that "12/maps" asks for, or null when the name has another form.  Throws UsageError. */
export function pidReportNamed(name: string): ProcessReport | null {
  const found = FORM.exec(name);
  if (found === null) return null;
  const [, who, file] = found;
  if (!Object.hasOwn(PID_REPORTS, file))
    throw new UsageError(
      `proc: there is no report ${who}/${file}; valid are ${Object.keys(PID_REPORTS).join(", ")}`,
    );
  const { summary, render } = PID_REPORTS[file];
  return { summary, render: (source: ProcessSource) => renderFor(source, who, render) };
}

function renderFor(source: ProcessSource, who: string, render: PidReport["render"]): string {
  const pid = who === "self" ? who : Number(who);
  const ofMemory = render !== status && render !== statm;
  const text =
    who === "PID"
      ? null
      : // Of a task that has no memory, or not any more, there is nothing to say about it.
        withProcess(source, pid, (process) => (ofMemory && process.mm === 0 ? "" : render(source, process)));
  if (text !== null) return text;
  const all = processesOf(source).map((process) => process.pid);
  throw new UsageError(
    `there is no process ${who}; ${all.length === 0 ? "there is none now" : `valid are ${all.join(", ")}`}`,
  );
}
