// Runs as the program tells them: in as many points as a picture has, for the part that is looked at.
import {signal} from '@preact/signals';
import {get} from '../lib/api';
import {duration, short} from '../lib/text';

export interface Run {
  id: number;
  name: string;
  config: any;
  running: boolean;
  stopping: boolean;
  problem: string;
  checkpoint: boolean;
}
export interface Points {
  step: number[];
  x: number[];
  loss: (number | null)[];
  least: (number | null)[];
  most: (number | null)[];
  smooth: (number | null)[];
  learning_rate: (number | null)[];
  gradient_norm: (number | null)[];
  tokens_per_second: (number | null)[];
}
export interface Log {
  known: number;
  lines: number;
  broken_lines: number;
  first: number | null;
  last: number | null;
  seconds: number;
  tokens: number;
  step: number;
  loss: number | null;
  tokens_per_second: number | null;
  validations: {step: number, x: number, bits_per_byte: number}[];
  points: Points;
}
export type Axis = 'step' | 'tokens' | 'time';

export const runs = signal<Run[]>([]);
// Those of the comparison or sweep that is looked at; null: none is.
export const studyRuns = signal<Run[] | null>(null);
export const chosen = signal<number[]>([]);
export const logs = signal<Record<number, Log>>({});
export const axis = signal<Axis>('step');
export const logX = signal(false);
export const logY = signal(false);
export const smoothing = signal(20);  // steps
// The part of the axis that is shown; null: all.
export const range = signal<[number, number] | null>(null);
export const follow = signal(true);

const pointsAcross = 900;

export const axisText = (value: number) => (axis.value === 'time' ? duration(value) : short(value));

export function query(span: [number, number] | null, points = pointsAcross): string {
  const parts: Record<string, string | number> = {axis: axis.value, smooth: smoothing.value, points};
  if (logX.value) parts.log = 1;
  if (span) {
    // As much again on both sides, so that there is something to see while it is moved.
    const [from, to] = span, width = to - from;
    Object.assign(parts, {from: from - width, to: to + width, points: 3 * points});
    if (logX.value) Object.assign(parts, {from: from * (from / to), to: to * (to / from)});
  }
  return Object.entries(parts).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
}

export async function loadRuns() {
  const list = (await get<{runs: Run[]}>('v1/aviary/runs')).runs;
  runs.value = list;
  const there = new Set(list.map((one) => one.id));
  if (studyRuns.value) return;
  chosen.value = chosen.value.filter((id) => there.has(id));
  if (chosen.value.length === 0 && list.length) chosen.value = [list[0]!.id];
}

// What can be chosen at present.
export const offered = () => studyRuns.value ?? runs.value;
export const colorOf = (id: number) => 'series' + ((offered().findIndex((one) => one.id === id) % 6 + 6) % 6 + 1);
export const shownRuns = () => chosen.value.map((id) => offered().find((one) => one.id === id)).filter((one): one is Run => !!one && !!logs.value[one.id]);

let busy = false, again = false;

// Loads what is shown; calls while it is loading are answered by one more loading.
export async function loadLogs(): Promise<void> {
  if (busy) { again = true; return; }
  busy = true;
  try {
    do {
      again = false;
      const text = query(range.value);
      const loaded = await Promise.all(chosen.value.map(async (id) => [id, await get<Log>(`v1/aviary/runs/${id}/log?${text}`)] as const));
      logs.value = Object.fromEntries(loaded);
      // A long log is read piece by piece.
      if (loaded.some(([, log]) => log.known < 1)) again = true;
    } while (again);
  } finally { busy = false; }
}

// The whole extent of what is shown.
export function extent(): [number, number] {
  let low = Infinity, high = -Infinity;
  for (const id of chosen.value) {
    const log = logs.value[id];
    if (!log || log.first === null || log.last === null) continue;
    low = Math.min(low, log.first);
    high = Math.max(high, log.last);
  }
  return low < high ? [low, high] : [0, 1];
}

// Paths and values of a configuration.
export function flat(config: any, prefix = '', out: Record<string, string> = {}, depth = 0): Record<string, string> {
  if (config && typeof config === 'object' && !Array.isArray(config) && depth < 6) {
    for (const [name, value] of Object.entries(config).slice(0, 500)) flat(value, prefix ? prefix + '.' + name : name, out, depth + 1);
  } else {
    out[prefix] = (typeof config === 'string' ? config : JSON.stringify(config) ?? '').slice(0, 300);
  }
  return out;
}

export function stepsOf(run: Run | undefined): number | null {
  const found = run ? flat(run.config) : {};
  const name = Object.keys(found).find((one) => /(^|\.)steps$/.test(one));
  const steps = name ? Number(found[name]) : NaN;
  return Number.isFinite(steps) && steps > 0 ? steps : null;
}

// Seconds until the end of a run, at its present speed.
export function timeLeft(run: Run | undefined, log: Log | undefined): number | null {
  const steps = stepsOf(run);
  if (!steps || !log || !log.step || !log.tokens_per_second || log.step >= steps) return null;
  return (steps - log.step) * (log.tokens / log.step) / log.tokens_per_second;
}
