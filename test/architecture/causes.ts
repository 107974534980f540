/**
 * The simulated machine knows causes only: what an access, a transfer or a piece of work costs.  Nothing in it may ask
 * which experiment is running: no workload's name, no order of blocks, no particular number of CPUs.
 */

import type { TextFile } from "./files.ts";

const MODEL = "src/schedule/virtual/";
const CHARGED = /^src\/(mm|sync|memory|hardware)\//;

const IN_MODEL: readonly { pattern: RegExp; why: string }[] = [
  { pattern: /\border\b/i, why: "the order of a block is no cause" },
  {
    pattern: /\b\w*(cpus|cores)\b\s*(===?|!==?|[<>]=?)\s*\d|\d\s*(===?|!==?|[<>]=?)\s*\w*\.?(cpus|cores)\b/i,
    why: "a number of CPUs is no cause",
  },
];
/** A charge hangs on no condition: its count says how much work there was. */
const CONDITIONAL_CHARGE = /(\bif\s*\(|\?|&&|\|\|).*\.work\(|\.work\([^;]*(\?|===|!==|&&|[^<]<[^<])/;

/** Sentences; none means that the rule holds.  `workloads` are the names of the workloads. */
export function causeViolations({ path, text }: TextFile, workloads: readonly string[]): string[] {
  const isModel = path.startsWith(MODEL);
  if (!isModel && !CHARGED.test(path)) return [];
  return (path.endsWith(".json") ? withoutRemarks(text) : withoutComments(text))
    .split("\n")
    .flatMap((line, index) => {
      const where = `${path}:${index + 1}`;
      const found: string[] = [];
      if (isModel) {
        const name = workloads.find((workload) => line.includes(workload));
        if (name !== undefined) found.push(`${where} names the workload ${name}`);
        found.push(
          ...IN_MODEL.filter(({ pattern }) => pattern.test(line)).map(({ why }) => `${where}: ${why}`),
        );
      }
      if (path.endsWith(".ts") && CONDITIONAL_CHARGE.test(line))
        found.push(`${where}: a charge hangs on a condition`);
      return found;
    });
}

/** Keys and figures of a JSON file: texts say where figures come from. */
const withoutRemarks = (text: string): string => text.replace(/:\s*"[^"]*"/g, ":");

/** The same lines, comments blank. */
function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ""))
    .replace(/(^|\s)\/\/.*$/gm, "");
}
