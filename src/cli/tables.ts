/** Tables of text for the terminal. */

import { styleText } from "node:util";
import CliTable from "cli-table3";
import type { Table } from "../experiment/report-tables.ts";

/** The table with its title above. */
export function renderTable(table: Table): string {
  const body = grid(
    table.columns,
    table.rows.map(({ cells, dimmed }) => (dimmed ? cells.map(dim) : cells)),
  );
  return [bold(table.title), body, ""].join("\n");
}

/** Plain rows under headings; the first column reads left, figures right. */
export function grid(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  leftColumns = 1,
): string {
  const table = new CliTable({
    head: [...columns],
    colAligns: columns.map((_, i) => (i < leftColumns ? "left" : "right")),
    style: { head: [], border: [], "padding-left": 1, "padding-right": 1 },
    chars: {
      top: "",
      "top-mid": "",
      "top-left": "",
      "top-right": "",
      bottom: "",
      "bottom-mid": "",
      "bottom-left": "",
      "bottom-right": "",
      left: "",
      "left-mid": "",
      right: "",
      "right-mid": "",
      mid: "",
      "mid-mid": "",
      middle: " ",
    },
  });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}

export const bold = (text: string): string => styled("bold", text);
export const dim = (text: string): string => styled("dim", text);
export const red = (text: string): string => styled("red", text);
export const green = (text: string): string => styled("green", text);

/** Colours only where stdout shows them and NO_COLOR is not set. */
function styled(style: "bold" | "dim" | "red" | "green", text: string): string {
  return styleText(style, text, { stream: process.stdout });
}
