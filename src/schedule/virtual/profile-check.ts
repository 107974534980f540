/**
 * Whether a JSON value is a profile: its fields and their ranges first, then what holds between fields.
 *
 * Every message names the file, the field, the value and what is valid.
 */

import { LOCAL_DISTANCE } from "../../hardware/topology.ts";
import { UsageError } from "../../memory/bug.ts";
import { didYouMean } from "../../memory/nearest.ts";
import type { Profile } from "./profile.ts";
import { type Field, type NumberField, type ObjectField, PROFILE_FIELDS } from "./profile-fields.ts";

/** Checks that `value` is a profile; a UsageError names the field and what is valid. */
export function validateProfile(value: unknown, origin: string): Profile {
  try {
    checkObject(value, PROFILE_FIELDS, "");
    const profile = value as Profile;
    checkMachine(profile);
    checkDistances(profile);
    checkOrder(profile);
    return profile;
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${origin}: ${error.message}`);
    throw error;
  }
}

function refuse(path: string, value: unknown, valid: string): never {
  throw new UsageError(`${path} is ${JSON.stringify(value)}; valid ${valid}`);
}

// ---- fields ----

function checkField(value: unknown, field: Field, path: string): void {
  switch (field.kind) {
    case "number":
      return checkNumber(value, field, path);
    case "text":
      if (typeof value !== "string" || value === "") refuse(path, value, "is a text");
      return;
    case "notes":
      return checkNotes(value, path);
    case "list":
      if (!Array.isArray(value) || value.length < field.least)
        refuse(path, value, `is a list of ${field.least} or more`);
      for (const [i, item] of value.entries()) checkField(item, field.of, `${path}[${i}]`);
      return;
    case "object":
      return checkObject(value, field, path);
  }
}

function checkObject(value: unknown, { fields, optional }: ObjectField, path: string): void {
  const given = plainObject(value, path === "" ? "a profile" : path);
  const names = Object.keys(fields);
  for (const key of Object.keys(given)) {
    if (names.includes(key)) continue;
    const place = path === "" ? "a profile" : path;
    throw new UsageError(
      `${inside(path, key)} is unknown${didYouMean(key, names)}; valid in ${place} are ${names.join(", ")}`,
    );
  }
  for (const [key, field] of Object.entries(fields)) {
    const name = inside(path, key);
    if (given[key] !== undefined) checkField(given[key], field, name);
    else if (!optional.includes(key)) throw new UsageError(`${name} is missing; valid ${describe(field)}`);
  }
}

function checkNumber(value: unknown, field: NumberField, path: string): void {
  const good = typeof value === "number" && value >= field.min && value <= field.max;
  if (!good || (field.whole && !Number.isInteger(value))) refuse(path, value, describe(field));
}

function checkNotes(value: unknown, path: string): void {
  const known = paths(PROFILE_FIELDS, "");
  for (const [key, note] of Object.entries(plainObject(value, path))) {
    if (!known.includes(key))
      throw new UsageError(
        `${path}: there is no field ${JSON.stringify(key)}${didYouMean(key, known)}; valid are paths such as "access.hit"`,
      );
    checkField(note, { kind: "text" }, `${path}[${JSON.stringify(key)}]`);
  }
}

function plainObject(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new UsageError(`${name} must be an object, is ${JSON.stringify(value)}`);
  return value as Record<string, unknown>;
}

/** Paths of all fields, lists as a whole. */
function paths({ fields }: ObjectField, path: string): string[] {
  return Object.entries(fields).flatMap(([key, field]) => {
    const name = inside(path, key);
    return field.kind === "object" ? [name, ...paths(field, name)] : [name];
  });
}

const inside = (path: string, key: string): string => (path === "" ? key : `${path}.${key}`);

function describe(field: Field): string {
  switch (field.kind) {
    case "number":
      return `are ${field.whole ? "whole " : ""}numbers from ${field.min} to ${field.max}`;
    case "text":
      return "is a text";
    case "list":
      return `is a list of ${field.least} or more`;
    case "notes":
      return "is an object of texts";
    case "object":
      return `is an object with ${Object.keys(field.fields).join(", ")}`;
  }
}

// ---- between fields ----

function checkMachine({ machine, cacheLines }: Profile): void {
  const { sockets, nodes, maxCpus, clusterCpus } = machine;
  if (nodes % sockets !== 0)
    refuse("machine.nodes", nodes, `are multiples of machine.sockets, which is ${sockets}`);
  if (maxCpus % nodes !== 0)
    refuse("machine.maxCpus", maxCpus, `are multiples of machine.nodes, which is ${nodes}`);
  const ofNode = maxCpus / nodes;
  if (clusterCpus !== undefined && clusterCpus > ofNode)
    refuse("machine.clusterCpus", clusterCpus, `are 1 to ${ofNode}, the CPUs of a node`);
  if (!Number.isInteger(Math.log2(cacheLines)))
    refuse("cacheLines", cacheLines, "are powers of two from 64 to 1048576");
}

/** Linux: drivers/acpi/numa/srat.c slit_valid; and both directions are equal. */
function checkDistances({ machine }: Profile): void {
  const { nodes, distances } = machine;
  const name = "machine.distances";
  if (distances.length !== nodes || distances.some((row) => row.length !== nodes))
    throw new UsageError(
      `${name} has rows of ${distances.map((row) => row.length).join(", ")}; valid are ${nodes} rows of ${nodes}, one for each of machine.nodes`,
    );
  for (let i = 0; i < nodes; i++) {
    for (let j = 0; j < nodes; j++) {
      const distance = distances[i][j];
      const path = `${name}[${i}][${j}]`;
      if (i === j && distance !== LOCAL_DISTANCE)
        refuse(path, distance, `is ${LOCAL_DISTANCE}, a node to itself`);
      if (i !== j && distance === LOCAL_DISTANCE)
        refuse(path, distance, `are ${LOCAL_DISTANCE + 1} to 255, from one node to another`);
      if (distance !== distances[j][i])
        refuse(path, distance, `is ${distances[j][i]}, as in the other direction`);
    }
  }
}

/** What is farther costs no less, and an exposed cost no less than one that the core overlaps. */
function checkOrder({ access, upgrade, transfer, memory }: Profile): void {
  const levels = [
    { path: "transfer.cluster", ...transfer.cluster },
    { path: "transfer.socket", ...transfer.socket },
    ...transfer.nodes.map((node, i) => ({ path: `transfer.nodes[${i}]`, ...node })),
  ];
  for (const { path, plain, marked } of [{ path: "upgrade", ...upgrade }, ...levels])
    ascending([
      ["access.hit", access.hit],
      [`${path}.plain`, plain],
      [`${path}.marked`, marked],
    ]);
  for (const kind of ["plain", "marked"] as const)
    ascending(levels.map((level) => [`${level.path}.${kind}`, level[kind]]));
  ascending([
    ["access.hit", access.hit],
    ["memory.stream", memory.stream],
    ...memory.nodes.map(({ stream }, i) => [`memory.nodes[${i}].stream`, stream] as const),
  ]);
  ascending([
    ["memory.stream", memory.stream],
    ["memory.local", memory.local],
    ...memory.nodes.map(({ miss }, i) => [`memory.nodes[${i}].miss`, miss] as const),
  ]);
  ascending([
    ["memory.local", memory.local],
    ["memory.marked", memory.marked],
  ]);
  for (const [i, { miss, stream }] of memory.nodes.entries())
    ascending([
      [`memory.nodes[${i}].stream`, stream],
      [`memory.nodes[${i}].miss`, miss],
    ]);
  for (const list of ["transfer", "memory"] as const) {
    const nodes: readonly { readonly distance: number }[] =
      list === "transfer" ? transfer.nodes : memory.nodes;
    for (let i = 1; i < nodes.length; i++)
      if (nodes[i].distance <= nodes[i - 1].distance)
        refuse(
          `${list}.nodes[${i}].distance`,
          nodes[i].distance,
          `are ${nodes[i - 1].distance + 1} to 255, distances ascend`,
        );
  }
}

function ascending(costs: readonly (readonly [path: string, cycles: number])[]): void {
  for (let i = 1; i < costs.length; i++) {
    const [path, cycles] = costs[i];
    const [before, least] = costs[i - 1];
    if (cycles < least) refuse(path, cycles, `is ${least} or more, as ${before}`);
  }
}
