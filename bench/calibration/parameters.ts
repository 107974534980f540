/** What is fitted, and within which bounds it stays plausible: cycles at 2.2 GHz. */

import type { Profile } from "../../src/schedule/virtual/profile.ts";

export interface Parameter {
  /** Where it stands in the profile; several fields that are one quantity on a machine of one socket. */
  readonly paths: readonly string[];
  readonly least: number;
  readonly most: number;
  readonly meaning: string;
}

export const PARAMETERS: readonly Parameter[] = [
  { paths: ["access.hit"], least: 0.5, most: 2, meaning: "a load or store that hits, exposed" },
  { paths: ["access.locked"], least: 16, most: 40, meaning: "LOCK prefix: the store buffer drains" },
  { paths: ["memory.local"], least: 40, most: 200, meaning: "a random miss, exposed part of about 95 ns" },
  { paths: ["memory.marked"], least: 150, most: 230, meaning: "the same for an atomic operation: all of it" },
  {
    paths: ["memory.stream"],
    least: 3,
    most: 20,
    meaning: "a miss that the prefetcher saw: bandwidth of one core",
  },
  {
    paths: ["transfer.cluster.plain", "transfer.socket.plain"],
    least: 20,
    most: 120,
    meaning: "a line from another core, exposed part",
  },
  {
    paths: ["transfer.cluster.marked", "transfer.socket.marked"],
    least: 80,
    most: 200,
    meaning: "the same in full: what core-to-core tests measure, 40 to 90 ns",
  },
  { paths: ["upgrade.plain"], least: 5, most: 60, meaning: "write permission for a shared line, posted" },
  { paths: ["upgrade.marked"], least: 20, most: 150, meaning: "the same, waited for" },
  { paths: ["work.PAGE_ALLOC"], least: 20, most: 200, meaning: "instructions of one allocation" },
  { paths: ["work.PAGE_FREE"], least: 20, most: 200, meaning: "instructions of one free" },
  { paths: ["work.LIST_REFILL"], least: 0, most: 80, meaning: "instructions to move a block to a page list" },
  {
    paths: ["work.LIST_DRAIN"],
    least: 0,
    most: 80,
    meaning: "instructions to move a block from a page list",
  },
  { paths: ["work.BUDDY_STEP"], least: 0, most: 40, meaning: "instructions to split or merge a block once" },
  { paths: ["work.PAGE_CHECK"], least: 0, most: 10, meaning: "instructions to check one page of a block" },
  {
    paths: ["work.TAIL_PREPARE"],
    least: 0.5,
    most: 3,
    meaning: "instructions for one tail page of a freed block",
  },
];

type Node = { [key: string]: number | Node };

export const valuesOf = (profile: Profile): number[] =>
  PARAMETERS.map(({ paths }) => read(profile, paths[0]));

export function withValues(profile: Profile, values: readonly number[]): Profile {
  const copy = structuredClone(profile);
  for (const [i, { paths }] of PARAMETERS.entries()) for (const path of paths) write(copy, path, values[i]);
  return copy;
}

export const clampTo = ({ least, most }: Parameter, value: number): number =>
  Math.min(Math.max(value, least), most);

function read(profile: Profile, path: string): number {
  return path
    .split(".")
    .reduce((node: Node | number, key) => (node as Node)[key], profile as unknown as Node) as number;
}

function write(profile: Profile, path: string, value: number): void {
  const keys = path.split(".");
  const last = keys.pop() as string;
  const node = keys.reduce((at, key) => at[key] as Node, profile as unknown as Node);
  node[last] = value;
}
