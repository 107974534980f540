/** More step programs than one CPU can run at once, all begun on it: the idle CPU takes some, and their sums come with them. */

import type { StepProgram, User } from "../../../src/index.ts";

const STEPS = 200;

export const stepper: StepProgram<User> = {
  step(user, registers) {
    if (registers[0] === STEPS) {
      user.print(`${registers[1]} ${registers[2]}`);
      return 0;
    }
    registers[0]++;
    registers[1] += registers[0];
    registers[2] |= 1 << user.getcpu();
    user.schedYield();
    return "again";
  },
};

export function main(user: User): void {
  user.schedSetaffinity(0, [0]);
  for (let i = 0; i < 4; i++) {
    const pid = user.fork("stepper");
    user.schedSetaffinity(pid, [0, 1]);
  }
}
