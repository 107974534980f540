/** The scenarios of part 3: support/scenario-tests.ts. */

import { testScenarios } from "../support/scenario-tests.ts";

await testScenarios(2);
