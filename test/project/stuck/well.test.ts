/** Run by stall.test.ts alone: the file after the one that is stuck. */

import { test } from "vitest";

test("after", () => {});
