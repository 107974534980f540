/**
 * Lines as Linux prints them, width by width.  The tests print the host's own numbers with them and compare the text.
 *
 * Linux: mm/vmstat.c, fs/proc/meminfo.c, arch/x86/kernel/irq.c.
 */

/** Every column of block counts ends with a blank. */
const column = (width: number) => (value: number | string) => `${String(value).padStart(width)} `;

/** "Node 0, zone   Normal", the beginning of most lines about a zone. */
export const zoneTitle = (node: number, zone: string): string => `Node ${node}, zone ${zone.padStart(8)}`;

/** A line of /proc/buddyinfo. */
export const buddyLine = (node: number, zone: string, blocks: readonly number[]): string =>
  `${zoneTitle(node, zone)} ${blocks.map(column(6)).join("")}`;

/** The head of a table of /proc/pagetypeinfo, whose title is `width` wide, and its columns. */
export const tableHead = (
  title: string,
  width: number,
  cells: readonly (number | string)[],
  cellWidth: number,
): string => `${title.padEnd(width)}${cells.map(column(cellWidth)).join("")}`;

/** A line of the free blocks of one type in /proc/pagetypeinfo; a count that was cut short is a text with ">". */
export const typeLine = (
  node: number,
  zone: string,
  type: string,
  blocks: readonly (number | string)[],
): string => {
  const counts = blocks.map((n) => (typeof n === "string" ? `>${column(6)(n.slice(1))}` : column(6)(n)));
  return `Node ${String(node).padStart(4)}, zone ${zone.padStart(8)}, type ${type.padStart(12)} ${counts.join("")}`;
};

/** A line of the pageblocks by type in /proc/pagetypeinfo. */
export const blocksLine = (node: number, zone: string, blocks: readonly number[]): string =>
  `${zoneTitle(node, zone)} ${blocks.map(column(12)).join("")}`;

/** A line of /proc/meminfo. */
export const meminfoLine = (key: string, kilobytes: number): string =>
  `${`${key}:`.padEnd(16)}${String(kilobytes).padStart(8)} kB`;

/** A counter in /proc/zoneinfo. */
export const counterLine = (name: string, value: number): string => `      ${name.padEnd(12)} ${value}`;

/** A line of /proc/interrupts that is no device's: one column a CPU. */
export const interruptLine = (label: string, counts: readonly number[], description: string): string =>
  `${label.padStart(3)}: ${counts.map(column(10)).join("")}  ${description}`;
