/** A map of an address space as a table. */

import { type Region, type SpaceMap, sizeText } from "./region.ts";

export function spaceMapText({ title, bits, regions }: SpaceMap): string {
  const digits = bits / 4;
  const rows = regions.map(({ start, end, name, note }) => [
    hex(start, digits),
    hex(end - 1n, digits),
    sizeText(end - start),
    name === "" ? "..." : name,
    note,
  ]);
  const head = ["start", "end", "size", "region", "what it is for"];
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
  const print = (row: readonly string[]): string =>
    `  ${row.map((cell, i) => (i === 2 ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join("  ")}`.trimEnd();
  return [title, "", print(head), ...rows.map(print)].map((line) => `${line}\n`).join("");
}

/** The same for JSON: addresses as text. */
export const regionDocument = ({ start, end, name, note }: Region, bits: number): unknown => ({
  start: `0x${hex(start, bits / 4)}`,
  end: `0x${hex(end - 1n, bits / 4)}`,
  bytes: (end - start).toString(),
  name,
  note,
});

const hex = (address: bigint, digits: number): string => address.toString(16).padStart(digits, "0");
