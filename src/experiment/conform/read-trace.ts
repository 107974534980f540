/** A recorded trace, in whichever format it is. */

import { isScenario, parseScenario } from "./steps.ts";
import { parseTrace, type Trace } from "./trace.ts";

/** Throws a UsageError for a text that is no trace. */
export function readTrace(name: string, text: string): Trace {
  return isScenario(text) ? parseScenario(name, text) : parseTrace(name, text);
}
