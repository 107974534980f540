/** Programs with a mistake: an access where nothing is mapped (0), a child that does not exist (1). */

import type { User } from "../../../src/index.ts";

export function main(user: User, which: number): void {
  if (which === 0) user.read32(0x1234);
  else user.fork("nobody");
}
