/** Where the tour's program is, and what it returns. */

import { fileURLToPath } from "node:url";
import type { TourStop } from "./program.ts";

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
/** A path for `Machine.run`: it leaves two processes to look at. */
export const TOUR = fileURLToPath(new URL(`program.${extension}`, import.meta.url));

/** What a run of it gives: places worth a look. */
export const stopsOf = (value: unknown): readonly TourStop[] => value as readonly TourStop[];
