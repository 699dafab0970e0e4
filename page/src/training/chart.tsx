// A chart of several runs: it can be moved and stretched by mouse, touch and keys, and all charts move together.
import {useEffect, useRef, useState} from 'preact/hooks';
import {effect} from '@preact/signals';
import uPlot from 'uplot';
import {color, repaint} from '../lib/theme';
import {short, significant} from '../lib/text';
import {axis, axisText, extent, follow, loadLogs, logX, range} from './data';

export interface Line {
  name: string;
  color: string;  // name of a custom property
  x: number[];
  y: (number | null)[];
  low?: (number | null)[];
  high?: (number | null)[];
  raw?: (number | null)[];
  dots?: boolean;
}

// An axis that is not that of the runs: it is shown as a whole.
export interface OwnAxis {
  log: boolean;
  ends: [number, number];
  format: (value: number) => string;
  mark?: {x: number, text: string};
}

let timer = 0;
export function setRange(next: [number, number] | null) {
  range.value = next;
  follow.value = next === null;
  clearTimeout(timer);
  timer = window.setTimeout(loadLogs, 90);
}

function moved(by: number) {  // share of what is shown
  const [from, to] = range.value ?? extent();
  if (logX.value && from > 0) {
    const factor = (to / from) ** by;
    setRange([from * factor, to * factor]);
  } else setRange([from + by * (to - from), to + by * (to - from)]);
}
function stretched(factor: number, at = 0.5) {
  const [from, to] = range.value ?? extent();
  if (logX.value && from > 0) {
    const a = Math.log(from), b = Math.log(to), middle = a + at * (b - a);
    setRange([Math.exp(middle + (a - middle) * factor), Math.exp(middle + (b - middle) * factor)]);
  } else {
    const middle = from + at * (to - from);
    setRange([middle + (from - middle) * factor, middle + (to - middle) * factor]);
  }
}

function onKey(event: KeyboardEvent, read: (step: number) => void, whole: boolean) {
  const reading = whole || event.shiftKey;
  const keys: Record<string, () => void> = {
    ArrowLeft: () => (reading ? read(-1) : moved(-0.15)), ArrowRight: () => (reading ? read(1) : moved(0.15)),
    ...!whole && {'+': () => stretched(0.7), '=': () => stretched(0.7), '-': () => stretched(1 / 0.7), '0': () => setRange(null)},
  };
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

// Moves with the pointer, stretches with the wheel.
function listen(plot: uPlot) {
  const over = plot.over;
  let start: {x: number, from: number, to: number} | null = null;
  over.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    const [from, to] = range.value ?? extent();
    start = {x: event.clientX, from, to};
    over.setPointerCapture(event.pointerId);
  });
  over.addEventListener('pointermove', (event) => {
    if (!start) return;
    const share = (start.x - event.clientX) / over.clientWidth;
    if (Math.abs(event.clientX - start.x) < 3) return;
    if (logX.value && start.from > 0) {
      const factor = (start.to / start.from) ** share;
      setRange([start.from * factor, start.to * factor]);
    } else setRange([start.from + share * (start.to - start.from), start.to + share * (start.to - start.from)]);
  });
  for (const name of ['pointerup', 'pointercancel'] as const) over.addEventListener(name, () => { start = null; });
  over.addEventListener('wheel', (event) => {
    if (!event.ctrlKey && Math.abs(event.deltaX) > Math.abs(event.deltaY)) { event.preventDefault(); return moved(event.deltaX / 1200); }
    event.preventDefault();
    const box = over.getBoundingClientRect();
    stretched(Math.exp(event.deltaY / 400), (event.clientX - box.left) / box.width);
  }, {passive: false});
  over.addEventListener('dblclick', () => setRange(null));
}

function tableOf(lines: Line[]): uPlot.AlignedData {
  const tables = lines.map((line) => [line.x, ...(line.low ? [line.low, line.high!] : []), ...(line.raw ? [line.raw] : []), line.y] as uPlot.AlignedData);
  if (tables.length === 0) return [[0, 1]] as unknown as uPlot.AlignedData;
  return tables.length === 1 ? tables[0]! : uPlot.join(tables);
}

function seriesOf(lines: Line[]): {series: uPlot.Series[], bands: uPlot.Band[]} {
  const series: uPlot.Series[] = [{}], bands: uPlot.Band[] = [];
  for (const line of lines) {
    const stroke = color(line.color);
    if (line.low) {
      const faint = {stroke: 'transparent', width: 0, spanGaps: true, points: {show: false}};
      bands.push({series: [series.length + 1, series.length], fill: stroke.replace(')', ', 0.13)').replace('rgb(', 'rgba(')});
      series.push(faint, faint);
    }
    if (line.raw) series.push({stroke: stroke.replace(')', ', 0.35)').replace('rgb(', 'rgba('), width: 1, spanGaps: true, points: {show: false}});
    series.push({label: line.name, stroke, width: 1.6, spanGaps: true, points: {show: !!line.dots, size: 5, fill: stroke}});
  }
  return {series, bands};
}

function drawMark(plot: uPlot, mark: {x: number, text: string}, ink: string) {
  const pen = plot.ctx, {left, top, width, height} = plot.bbox, x = plot.valToPos(mark.x, 'x', true);
  if (x < left || x > left + width) return;
  pen.save();
  pen.strokeStyle = pen.fillStyle = ink;
  pen.setLineDash([4, 4]);
  pen.beginPath();
  pen.moveTo(x, top);
  pen.lineTo(x, top + height);
  pen.stroke();
  pen.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  const before = x + 6 + pen.measureText(mark.text).width > left + width;
  pen.textAlign = before ? 'right' : 'left';
  pen.fillText(mark.text, x + (before ? -6 : 6), top + 12 * devicePixelRatio);
  pen.restore();
}

function valueAt(line: Line, x: number): number | null {
  let low = 0, high = line.x.length - 1;
  if (high < 0) return null;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (line.x[middle]! < x) low = middle + 1; else high = middle;
  }
  if (low > 0 && x - line.x[low - 1]! < line.x[low]! - x) low--;
  return line.y[low] ?? null;
}

export function Chart(props: {title: string, lines: Line[], log?: boolean, height: number, format?: (value: number) => string, own?: OwnAxis}) {
  const {own} = props, logAxis = own ? own.log : logX.value, atText = own?.format ?? axisText;
  const span = useRef<() => [number, number]>(extent);
  span.current = () => own?.ends ?? range.value ?? extent();
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const shape = [props.lines.map((one) => one.color + !!one.low + !!one.raw + !!one.dots).join(), props.log, logAxis, own?.mark?.x ?? axis.value, repaint.value].join('|');
  const format = props.format ?? ((value: number) => significant(value, 4));

  useEffect(() => {
    const line = color('line'), ink = color('soft');
    const common = {stroke: ink, grid: {stroke: line, width: 1}, ticks: {stroke: line, width: 1, size: 4}, font: '11px system-ui, sans-serif'};
    const {series, bands} = seriesOf(props.lines);
    const made = new uPlot({
      width: box.current!.clientWidth || 300, height: props.height, series, bands,
      legend: {show: false}, padding: [8, 16, 0, 0], cursor: {drag: {x: false, y: false, setScale: false}, y: false, points: {size: 6}},
      scales: {
        x: {time: false, distr: logAxis ? 3 : 1, range: () => {
          const [from, to] = span.current();
          return logAxis ? [Math.max(from, to * 1e-9, 1e-3), to] : [from, to];
        }},
        y: {distr: props.log ? 3 : 1},
      },
      axes: [{...common, values: (_, ticks) => ticks.map((one) => (one === null ? '' : atText(one))), size: 26},
        {...common, values: (_, ticks) => ticks.map((one) => (one === null ? '' : Math.abs(one) >= 1e4 ? short(one) : significant(one, 3))), size: 46}],
      hooks: {draw: own?.mark ? [(one) => drawMark(one, own.mark!, ink)] : [], setCursor: [(one) => {
        const left = one.cursor.left ?? -1;
        setAt(left < 0 ? null : one.posToVal(left, 'x'));
      }]},
    }, tableOf(props.lines), box.current!);
    if (!own) listen(made);
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({width: box.current?.clientWidth ?? 300, height: props.height}));
    watch.observe(box.current!);
    return () => { watch.disconnect(); made.destroy(); plot.current = null; };
  }, [shape]);
  useEffect(() => { plot.current?.setData(tableOf(props.lines)); }, [props.lines]);
  // Moving draws the charts and renders nothing else.
  useEffect(() => {
    let waiting = false;
    return effect(() => {
      void range.value;
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        const [from, to] = span.current();
        plot.current?.setScale('x', {min: from, max: to});
      });
    });
  }, []);

  const read = (step: number) => {
    const one = plot.current!;
    const left = (one.cursor.left ?? -1) < 0 ? one.over.clientWidth / 2 : one.cursor.left! + 8 * step;
    one.setCursor({left: Math.max(0, Math.min(left, one.over.clientWidth)), top: 10});
  };
  return (
    <figure class="chart">
      <figcaption><span>{props.title}</span>
        <span class="readout figures">{at !== null && <span class="soft">{atText(at)}</span>}
          {props.lines.map((line) => {
            const value = at === null ? line.y.findLast((one) => one !== null) : valueAt(line, at);
            return <span key={line.name} style={{color: `var(--${line.color})`}}>{value === null || value === undefined ? '–' : format(value)}</span>;
          })}</span></figcaption>
      <div ref={box} class={own ? 'plot whole' : 'plot'} tabIndex={0} role="img"
        aria-label={`${props.title}: ${props.lines.map((line) => `${line.name} ${format(line.y.findLast((one) => one !== null) ?? NaN)}`).join(', ')}. `
          + (own ? 'Arrows read values.' : 'Arrows move, plus and minus stretch, 0 shows all, Shift and arrows read values.')}
        onKeyDown={(event) => onKey(event, read, !!own)} />
    </figure>
  );
}
