/** How a serial scheduler ends a run that cannot go on.  Apart, so that who tells them apart loads no scheduler. */

import { KernelBug } from "./bug.ts";

/** No CPU can go on although programs have not ended. */
export class Deadlock extends KernelBug {}
/** An execution took more steps than allowed. */
export class StepLimit extends KernelBug {}
/** The same schedule, run twice, did not do the same. */
export class Nondeterminism extends KernelBug {}
