/** Reports as JSON text, out and in. */

import { UsageError } from "../memory/bug.ts";
import { REPORT_FORMAT, REPORT_VERSION, type Report } from "./report-model.ts";

/** One JSON document.  Numbers that JSON does not know (NaN, Infinity) become null. */
export const jsonOf = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** The report in `text`, which came from `source`; a UsageError says what is wrong with it. */
export function parseReport(text: string, source: string): Report {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${source} is not JSON: ${(error as Error).message}`);
  }
  const report = value as Partial<Report> | null;
  if (typeof report !== "object" || report?.format !== REPORT_FORMAT) {
    throw new UsageError(`${source} is not a report: it needs "format": "${REPORT_FORMAT}" (made by --json)`);
  }
  if (report.version !== REPORT_VERSION) {
    throw new UsageError(
      `${source} is a report of version ${report.version}; valid is version ${REPORT_VERSION}`,
    );
  }
  if (!Array.isArray(report.experiments)) throw new UsageError(`${source} has no list of experiments`);
  return report as Report;
}
