/** The counters that reports show are those that the source counts, no more and no fewer. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { VM_EVENT_NAMES } from "../../../src/mm/pages/counters.ts";
import { COUNTED } from "../../../src/procfs/counted.ts";
import { projectFolder } from "../../support/folder.ts";

/** What only prints counters, and scenarios, which use some counter for their purposes. */
const NOT_COUNTING = /^(procfs|scenarios|workloads)\/|(^|\/)(counters|show-mem)\.ts$/;
const USE = /\b(?:ZoneStat|NodeStat|NumaStat|VmEvent)\.(\w+)/g;
type VmEventName = (typeof VM_EVENT_NAMES)[number];
/** The first of a group that is counted by zone stands for all of it. */
const GROUPS = ["pgalloc_dma", "allocstall_dma", "pgskip_dma"];

const eventsFrom = (name: string): readonly string[] => {
  const first = VM_EVENT_NAMES.indexOf(name as VmEventName);
  return GROUPS.includes(name) ? VM_EVENT_NAMES.slice(first, first + 6) : [name];
};

test("every counter that the kernel's source counts is shown, and every one shown is counted there", () => {
  const source = join(projectFolder, "src");
  const files = readdirSync(source, { recursive: true, encoding: "utf8" })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => file.endsWith(".ts") && !NOT_COUNTING.test(file));
  const uses = files.flatMap((file) => [...readFileSync(join(source, file), "utf8").matchAll(USE)]);
  const counted = new Set(uses.flatMap(([, name]) => eventsFrom(name)));
  expect([...counted].toSorted()).toEqual([...COUNTED].toSorted());
});
