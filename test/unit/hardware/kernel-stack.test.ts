import { expect, test } from "vitest";
import { STACK_END_MAGIC } from "../../../src/hardware/kernel-stack.ts";
import { declareFrame, StackFrame } from "../../../src/hardware/stack-frames.ts";
import { soloCpu } from "../../support/solo.ts";

const [TASK, IRQ, WORDS] = [1024, 4096, 512];
const A = declareFrame("a", 100);
const B = declareFrame("b", 33);

function stack() {
  const { cpu, memory } = soloCpu();
  memory.write(TASK, STACK_END_MAGIC);
  memory.write(IRQ, STACK_END_MAGIC);
  cpu.stack.attach({ task: TASK, interrupt: IRQ, words: WORDS, describeTask: () => "t (1)" });
  return { stack: cpu.stack, memory };
}

test("frames are multiples of 16 bytes, and the deepest is remembered", () => {
  const { stack: s } = stack();
  s.enter(A);
  s.enter(B);
  expect(s.depthBytes).toBe(112 + 48);
  s.leave(B);
  s.leave(A);
  expect(s.depthBytes).toBe(0);
  expect(s.highWater).toEqual({ task: 160, interrupt: 0 });
  s.checkAtRest();
});

test("the chain says what is on the stack, the innermost first", () => {
  const { stack: s } = stack();
  s.enter(A);
  s.enter(B);
  expect(
    s
      .chain()
      .split("\n")
      .map((line) => line.trim().split(/\s+/)),
  ).toEqual([
    ["160", "b", "48"],
    ["112", "a", "112"],
  ]);
  expect(() => s.leave(A)).toThrow("a returns, but the innermost frame is b's");
  expect(() => s.checkAtRest()).toThrow("160 bytes are in use at rest");
});

test("interrupts have a stack of their own, soft interrupts and nested ones the same", () => {
  const { stack: s } = stack();
  s.enter(A);
  s.enterInterrupt(StackFrame.SOFTIRQ);
  expect(s.depthBytes).toBe(144);
  s.enterInterrupt(StackFrame.INTERRUPT);
  expect(s.depthBytes).toBe(144 + 240);
  s.leaveInterrupt(StackFrame.INTERRUPT);
  s.leaveInterrupt(StackFrame.SOFTIRQ);
  expect(s.depthBytes).toBe(112);
  s.leave(A);
  expect(s.highWater).toEqual({ task: 112, interrupt: 384 });
});

test("a frame that would reach the last word is an overrun, on either stack", () => {
  const { stack: s } = stack();
  const frames = Math.floor((WORDS * 4 - 4) / 112);
  for (let i = 0; i < frames; i++) s.enter(A);
  expect(() => s.enter(A)).toThrow(
    `kernel stack overflow: task t (1) on cpu 0: a needs depth ${(frames + 1) * 112} of the 2048 bytes`,
  );
  const other = stack().stack;
  const huge = declareFrame("huge", 2048);
  expect(() => other.enterInterrupt(huge)).toThrow(
    "huge needs depth 2048 of the interrupt stack's 2048 bytes",
  );
});

test("the word at the end is looked at", () => {
  const { stack: s, memory } = stack();
  memory.write(IRQ, 7);
  expect(() => s.checkEnds()).toThrow(/corrupted stack end .* of its interrupt stack, at 0x4000, is 0x7/);
});

test("a CPU without stacks accounts nothing", () => {
  const { cpu } = soloCpu();
  cpu.stack.enter(A);
  cpu.stack.leave(B);
  cpu.stack.enterInterrupt(A);
  cpu.stack.leaveInterrupt(A);
  cpu.stack.checkAtRest();
  expect([cpu.stack.depthBytes, cpu.stack.highWater]).toEqual([0, { task: 0, interrupt: 0 }]);
});
