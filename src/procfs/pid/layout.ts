/** Lines as Linux prints them for a process.  Linux: fs/proc/task_mmu.c, fs/proc/array.c. */

/** What a line of maps says. */
export interface MapsFields {
  readonly start: number;
  readonly end: number;
  readonly permissions: string;
  /** Bytes. */
  readonly offset: number;
  /** "major:minor", hexadecimal. */
  readonly device: string;
  readonly inode: number;
  readonly name: string;
}

/** Where names begin.  Linux: seq_setwidth. */
const NAME_COLUMN = 73;
const hex = (value: number): string => value.toString(16).padStart(8, "0");

/** A line of maps, and the first of a mapping in smaps. */
export function mapsLine({ start, end, permissions, offset, device, inode, name }: MapsFields): string {
  const line = `${hex(start)}-${hex(end)} ${permissions} ${hex(offset)} ${device} ${inode} `;
  return name === "" ? line : `${line.padEnd(NAME_COLUMN)}${name}`;
}

/** A number of smaps without a unit. */
export const plainLine = (key: string, value: number): string =>
  `${`${key}:`.padEnd(16)}${String(value).padStart(8)}`;

/** A line of status in kilobytes. */
export const statusKbLine = (key: string, kilobytes: number): string =>
  `${key}:\t${String(kilobytes).padStart(8)} kB`;
