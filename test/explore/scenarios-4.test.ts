/** The scenarios of part 4: support/scenario-tests.ts. */

import { testScenarios } from "../support/scenario-tests.ts";

await testScenarios(3);
