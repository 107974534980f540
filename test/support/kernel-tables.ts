/** The tables of a real kernel, recorded in test/oracle/kernel-tables.md. */

import { readFileSync } from "node:fs";

export const recorded = readFileSync(new URL("../oracle/kernel-tables.md", import.meta.url), "utf8");

/** Cells of the table rows under the heading that begins with `heading`, its head row first. */
export function recordedTable(heading: string): string[][] {
  const section = recorded.split(/^## /m).find((part) => part.startsWith(heading));
  if (section === undefined) throw new Error(`kernel-tables.md has no section "${heading}"`);
  return section
    .split("\n")
    .filter((line) => line.startsWith("|") && !line.startsWith("|--"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}
