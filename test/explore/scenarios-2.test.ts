/** The scenarios of part 2: support/scenario-tests.ts. */

import { testScenarios } from "../support/scenario-tests.ts";

await testScenarios(1);
