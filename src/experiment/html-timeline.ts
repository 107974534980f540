/**
 * The end of a traced run as a picture: a lane a CPU, waits and interrupts as bars, arrows from an interrupt's sender to
 * its handler.  It is made of the same events that `--trace` writes, so both tell the same story.
 */

import { duration } from "./format.ts";
import { escapeHtml } from "./html-escape.ts";
import type { ChromeEvent, ChromeTrace } from "./trace-export.ts";

const WIDTH = 1160;
const LEFT = 60;
const TOP = 26;
const LANE = 34;
const BAR = 22;
/** More shapes than this no eye can tell apart; the window shrinks until they are no more. */
const SHAPES = 1500;
const TICKS = 8;

/** Kinds of slices that are drawn, outermost first, with their colour and the part of the bar's height they fill. */
const KINDS = {
  phase: { colour: "var(--line)", part: 1, label: "a phase of the workload" },
  "off core": { colour: "var(--faint)", part: 0.75, label: "off its core: parked, or without a run token" },
  "lock wait": { colour: "var(--series-2)", part: 0.75, label: "waits for a lock" },
  irq: { colour: "var(--series-4)", part: 0.5, label: "interrupt handler" },
  "lock held": { colour: "var(--series-1)", part: 0.16, label: "holds a lock (strip below)" },
} as const;
type Kind = keyof typeof KINDS;

interface Shape {
  readonly kind: Kind;
  readonly cpu: number;
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

interface Arrow {
  readonly from: number;
  readonly to: number;
  readonly start: number;
  readonly end: number;
}

export interface Timeline {
  readonly svg: string;
  /** What the picture covers, as a sentence. */
  readonly caption: string;
  readonly legend: readonly { readonly colour: string; readonly label: string }[];
}

/** The timeline of the last moments for which every CPU's ring has events; null when there are none. */
export function timelineOf(trace: ChromeTrace): Timeline | null {
  const shapes = shapesOf(trace.traceEvents);
  const cpus = laneNumbers(trace.traceEvents);
  const window = windowOf(shapes, cpus);
  if (window === null) return null;
  const [start, end] = window;
  const inside = shapes.filter((shape) => shape.end >= start && shape.start <= end);
  const arrows = arrowsOf(trace.traceEvents).filter((arrow) => arrow.start >= start && arrow.end <= end);
  const x = (time: number): number =>
    LEFT + ((Math.min(end, Math.max(start, time)) - start) / (end - start)) * (WIDTH - LEFT - 10);
  const lane = (cpu: number): number => TOP + cpus.indexOf(cpu) * LANE;
  const height = TOP + cpus.length * LANE + 8;
  const order = Object.keys(KINDS);
  const bars = inside
    .toSorted((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
    .map((shape) => bar(shape, x, lane(shape.cpu)));
  return {
    svg: [
      `<svg class="timeline" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
      ...axis(start, end, x, height),
      ...cpus.map((cpu) => `<text x="0" y="${lane(cpu) + BAR * 0.7}">CPU ${cpu}</text>`),
      ...bars,
      ...arrows.map((arrow) => line(arrow, x, lane)),
      "</svg>",
    ].join("\n"),
    caption: `The last ${duration((end - start) * 1000)} of a traced run that every CPU's trace ring still had`,
    legend: Object.values(KINDS).map(({ colour, label }) => ({ colour, label })),
  };
}

function shapesOf(events: readonly ChromeEvent[]): Shape[] {
  const held = new Map<string, ChromeEvent>();
  return events.flatMap((event): Shape[] => {
    const { ph, cat = "", name, tid: cpu, ts = 0, dur = 0, id } = event;
    if (ph === "X" && cat in KINDS) return [{ kind: cat as Kind, cpu, name, start: ts, end: ts + dur }];
    if (ph === "b") held.set(String(id), event);
    const begun = ph === "e" ? held.get(String(id)) : undefined;
    return begun === undefined ? [] : [{ kind: "lock held", cpu, name, start: begun.ts ?? 0, end: ts }];
  });
}

function arrowsOf(events: readonly ChromeEvent[]): Arrow[] {
  const sent = new Map(events.filter((e) => e.ph === "s").map((e) => [e.id, e]));
  return events.flatMap((event) => {
    const send = event.ph === "f" ? sent.get(event.id) : undefined;
    return send === undefined
      ? []
      : [{ from: send.tid, to: event.tid, start: send.ts ?? 0, end: event.ts ?? 0 }];
  });
}

const laneNumbers = (events: readonly ChromeEvent[]): number[] =>
  events.filter((event) => event.name === "thread_name").map((event) => event.tid);

/** From where every CPU has events until the first one's last, shortened until few enough shapes are in it. */
function windowOf(shapes: readonly Shape[], cpus: readonly number[]): [number, number] | null {
  const lanes = cpus
    .map((cpu) => shapes.filter((shape) => shape.cpu === cpu))
    .filter((lane) => lane.length > 0);
  if (lanes.length === 0) return null;
  const end = Math.min(...lanes.map((lane) => lane.reduce((last, shape) => Math.max(last, shape.end), 0)));
  const short = shapes.filter((shape) => shape.kind !== "phase");
  const firsts = lanes.map((lane) => lane.reduce((first, shape) => Math.min(first, shape.start), Infinity));
  const recent = short
    .filter((shape) => shape.start <= end)
    .map((shape) => shape.start)
    .toSorted((a, b) => b - a);
  const start = Math.max(...firsts, recent[SHAPES] ?? -Infinity);
  return end > start ? [start, end] : null;
}

function bar({ kind, name, start, end }: Shape, x: (time: number) => number, top: number): string {
  const { colour, part } = KINDS[kind];
  const height = BAR * part;
  const y = kind === "lock held" ? top + BAR + 2 : top + (BAR - height) / 2;
  const width = Math.max(0.6, x(end) - x(start));
  const title = `${name}: ${duration((end - start) * 1000)}`;
  return (
    `<rect x="${round(x(start))}" y="${round(y)}" width="${round(width)}" height="${round(height)}" ` +
    `fill="${colour}"><title>${escapeHtml(title)}</title></rect>`
  );
}

function line(
  { from, to, start, end }: Arrow,
  x: (time: number) => number,
  lane: (cpu: number) => number,
): string {
  const [y1, y2] = from < to ? [lane(from) + BAR, lane(to)] : [lane(from), lane(to) + BAR];
  const [x1, x2] = [x(start), x(end)];
  const tip = from < to ? -4 : 4;
  return (
    `<path d="M${round(x1)},${y1}L${round(x2)},${y2}m-2.5,${tip}l2.5,${-tip}l2.5,${tip}" fill="none" ` +
    `stroke="currentColor" stroke-opacity="0.6"><title>interrupt to CPU ${to}: ${duration((end - start) * 1000)}</title></path>`
  );
}

function axis(start: number, end: number, x: (time: number) => number, height: number): string[] {
  const step = niceStep((end - start) / TICKS);
  const ticks: string[] = [];
  for (let at = 0; at <= end - start; at += step) {
    const place = round(x(start + at));
    ticks.push(
      `<line x1="${place}" x2="${place}" y1="${TOP - 6}" y2="${height}" stroke="currentColor" stroke-opacity="0.12"/>`,
      `<text x="${place}" y="12" text-anchor="middle">${at === 0 ? "0" : duration(at * 1000)}</text>`,
    );
  }
  return ticks;
}

/** 1, 2 or 5 times a power of ten, at least `least`. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5, 10].find((factor) => power * factor >= least) ?? 10);
}

const round = (value: number): number => Math.round(value * 100) / 100;
