/** Numbers as people read them: three digits, a prefix, a unit. */

/** "12.3 M"; for counts and rates. */
export function count(value: number): string {
  if (!Number.isFinite(value)) return "-";
  const steps = ["", " k", " M", " G", " T"];
  let step = 0;
  let scaled = value;
  while (Math.abs(scaled) >= 999.5 && step < steps.length - 1) {
    scaled /= 1000;
    step++;
  }
  return `${step === 0 && Number.isInteger(scaled) ? scaled : digits(scaled)}${steps[step]}`;
}

/** "45.2 ns", "1.20 µs", "3.00 s". */
export function duration(ns: number): string {
  if (!Number.isFinite(ns)) return "-";
  const units = ["ns", "µs", "ms"];
  let unit = 0;
  let scaled = ns;
  while (Math.abs(scaled) >= 999.5 && unit < 3) {
    scaled /= 1000;
    unit++;
  }
  return `${digits(scaled)} ${units[unit] ?? "s"}`;
}

export const percent = (share: number): string => (Number.isFinite(share) ? `${digits(share * 100)} %` : "-");

/** "1.98" */
export const ratio = (value: number | null): string =>
  value === null || !Number.isFinite(value) ? "-" : value.toFixed(2);

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const unit = value > 0 ? Math.min(units.length - 1, Math.floor(Math.log2(value) / 10)) : 0;
  const scaled = value / 1024 ** unit;
  return `${Number.isInteger(scaled) ? scaled : scaled.toFixed(1)} ${units[unit]}`;
}

/** "1 CPU", "4 CPUs" */
export const plural = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`;

/** Three significant digits, without an exponent. */
function digits(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : size === 0 ? 0 : 2);
}
