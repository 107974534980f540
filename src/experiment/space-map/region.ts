/** A part of an address space: addresses are unsigned 64-bit numbers, so they are BigInts here. */

export interface Region {
  readonly start: bigint;
  /** The byte after the last. */
  readonly end: bigint;
  readonly name: string;
  /** What it is for, in a sentence. */
  readonly note: string;
}

export interface SpaceMap {
  readonly title: string;
  /** Address bits of the architecture: how many hexadecimal digits an address has. */
  readonly bits: 32 | 64;
  readonly regions: readonly Region[];
}

export const KIB = 1n << 10n;
export const MIB = 1n << 20n;
export const GIB = 1n << 30n;
export const TIB = 1n << 40n;
export const PIB = 1n << 50n;

const UNITS = [
  [1n << 60n, "EiB"],
  [PIB, "PiB"],
  [TIB, "TiB"],
  [GIB, "GiB"],
  [MIB, "MiB"],
  [KIB, "KiB"],
] as const;

/** "64 TiB"; two digits after the point where it is not whole. */
export function sizeText(bytes: bigint): string {
  const [unit, name] = UNITS.find(([size]) => bytes >= size) ?? [1n, "B"];
  const hundredths = (bytes * 100n) / unit;
  const whole = hundredths / 100n;
  const rest = Number(hundredths % 100n);
  return rest === 0
    ? `${whole} ${name}`
    : `${whole}.${String(rest).padStart(2, "0").replace(/0$/, "")} ${name}`;
}

/** Regions from what begins where; what ends before the next begins is followed by a hole. */
export function withHoles(regions: readonly Region[], end: bigint): Region[] {
  const all: Region[] = [];
  let at = 0n;
  for (const region of [...regions].sort((a, b) => (a.start < b.start ? -1 : 1))) {
    if (region.start > at) all.push({ start: at, end: region.start, name: "", note: "hole" });
    all.push(region);
    at = region.end;
  }
  if (at < end) all.push({ start: at, end, name: "", note: "hole" });
  return all;
}
