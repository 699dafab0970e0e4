// The norms of the gradient by layer as a picture: layers upward, the axis of the charts to the right, moved and stretched with them.
import {useEffect, useMemo, useRef, useState} from 'preact/hooks';
import {effect} from '@preact/signals';
import {get} from '../lib/api';
import {color, channels, repaint} from '../lib/theme';
import {count, significant, visible} from '../lib/text';
import {axis, axisText, extent, logX, logs, query, range, shownRuns} from './data';

interface Layers { rows: number; step: number[]; x: number[]; norms: (number | null)[] }

const columnsAcross = 160, gutter = 46, most = 260;  // pixels
const rowName = (row: number, rows: number) => (row === 0 ? 'embedding' : row === rows - 1 ? 'head' : 'block ' + (row - 1));
const rowHeight = (rows: number) => Math.max(5, Math.min(18, Math.floor(most / rows)));

// The share of a number between the least and the largest, by their logarithms.
function scaleOf(norms: (number | null)[]) {
  let low = Infinity, high = 0;
  for (const x of norms) if (x !== null && x > 0) low = Math.min(low, x), high = Math.max(high, x);
  const width = Math.log(high / low) || 1;
  return {low, high, share: (x: number | null) => (x === null || x <= 0 ? 0 : 0.06 + 0.94 * Math.log(x / low) / width)};
}

// One pixel for each number; the last row is the uppermost.
function imageOf(layers: Layers): HTMLCanvasElement {
  const image = document.createElement('canvas'), {rows} = layers, columns = layers.x.length;
  image.width = Math.max(1, columns);
  image.height = Math.max(1, rows);
  const pen = image.getContext('2d')!, pixels = pen.createImageData(image.width, image.height);
  const low = channels('paper'), high = channels('series1'), {share} = scaleOf(layers.norms);
  layers.norms.forEach((x, i) => {
    const at = 4 * ((rows - 1 - i % rows) * image.width + Math.floor(i / rows)), part = share(x);
    for (let c = 0; c < 3; ++c) pixels.data[at + c] = low[c]! + part * (high[c]! - low[c]!);
    pixels.data[at + 3] = x === null ? 0 : 255;
  });
  pen.putImageData(pixels, 0, 0);
  return image;
}

// From a place on the axis to a share of the width, and back.
function placing() {
  const [from, to] = range.value ?? extent(), log = logX.value && to > 0;
  const a = log ? Math.log(Math.max(from, to * 1e-9, 1e-3)) : from, b = log ? Math.log(to) : to;
  return {share: (x: number) => ((log ? Math.log(Math.max(x, 1e-9)) : x) - a) / (b - a || 1), back: (share: number) => (log ? Math.exp(a + share * (b - a)) : a + share * (b - a))};
}

// Columns meet halfway; one alone stands for all.
function edgesOf(x: number[]): number[] {
  if (x.length < 2) return extent();
  const first = x[0]!, last = x.at(-1)!, inner = x.slice(1).map((right, i) => (x[i]! + right) / 2);
  return [2 * first - inner[0]!, ...inner, 2 * last - inner.at(-1)!];
}

function draw(canvas: HTMLCanvasElement, layers: Layers, image: HTMLCanvasElement) {
  const pen = canvas.getContext('2d')!, density = devicePixelRatio || 1, {rows, x} = layers;
  const width = canvas.clientWidth, height = rows * rowHeight(rows);
  canvas.width = width * density;
  canvas.height = height * density;
  pen.scale(density, density);
  pen.imageSmoothingEnabled = false;
  const {share} = placing(), edges = edgesOf(x);
  for (let i = 0; i < x.length; ++i) {
    const left = width * share(edges[i]!), right = width * share(edges[i + 1]!);
    if (right >= 0 && left <= width) pen.drawImage(image, i, 0, 1, rows, left, 0, Math.max(right - left, 0.5) + 0.3, height);
  }
}

function Names(props: {rows: number}) {
  const height = rowHeight(props.rows), every = Math.ceil(13 / height);
  const shown = Array.from({length: props.rows}, (_, row) => row).filter((row) => row === 0 || row === props.rows - 1
    || ((row - 1) % every === 0 && row - 1 >= (every > 1 ? every : 0) && props.rows - 1 - row >= every));
  return (
    <div class="row-names" aria-hidden="true" style={{width: gutter + 'px'}}>{shown.map((row) => (
      <span key={row} style={{top: (props.rows - 0.5 - row) * height + 'px'}}>{row === 0 ? 'emb' : row === props.rows - 1 ? 'head' : row - 1}</span>))}</div>
  );
}

function Picture(props: {layers: Layers}) {
  const {layers} = props, {rows} = layers, columns = layers.x.length;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [at, setAt] = useState<[number, number] | null>(null);
  const image = useMemo(() => imageOf(layers), [layers, repaint.value]);
  const {low, high} = useMemo(() => scaleOf(layers.norms), [layers]);
  useEffect(() => {
    let waiting = false;
    const paint = () => { waiting = false; if (canvas.current) draw(canvas.current, layers, image); };
    const soon = () => { if (!waiting) { waiting = true; requestAnimationFrame(paint); } };
    const watch = new ResizeObserver(soon);
    watch.observe(canvas.current!);
    const end = effect(() => { void range.value, logX.value; soon(); });
    return () => { end(); watch.disconnect(); };
  }, [layers, image]);
  const move = (column: number, row: number) => setAt([Math.max(0, Math.min(columns - 1, column)), Math.max(0, Math.min(rows - 1, row))]);
  const point = (event: MouseEvent) => {
    const box = canvas.current!.getBoundingClientRect(), x = placing().back((event.clientX - box.left) / box.width);
    move(edgesOf(layers.x).findLastIndex((edge) => edge <= x), rows - 1 - Math.floor((event.clientY - box.top) / box.height * rows));
  };
  const steps: Record<string, [number, number]> = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
  const value = at && (layers.norms[at[0] * rows + at[1]] ?? null);
  const [from, to] = range.value ?? extent();
  const cross = at && {left: 100 * placing().share(layers.x[at[0]]!) + '%', top: 100 * (rows - 0.5 - at[1]) / rows + '%'};
  return (
    <>
      <div class="layer-norms"><Names rows={rows} />
        <div class="heat-box" style={{height: rows * rowHeight(rows) + 'px'}} tabIndex={0} role="img"
          aria-label={`Gradient norm by layer, ${significant(low)} to ${significant(high)}. Arrows move over its numbers.`}
          onKeyDown={(event) => {
            const step = steps[event.key];
            if (!step) return;
            event.preventDefault();
            move((at?.[0] ?? columns) + step[0], (at?.[1] ?? 0) + step[1]);
          }}>
          <canvas ref={canvas} aria-hidden="true" onMouseMove={point} onMouseLeave={() => setAt(null)} />
          {cross && <i class="cross" style={cross} />}
        </div></div>
      <div class="layer-ends soft figures"><span>{axisText(from)}</span>
        <span aria-live="polite">{at ? `${rowName(at[1], rows)}, step ${count(layers.step[at[0]]!)}: ${value === null ? '–' : significant(value!)}` : '\u00a0'}</span>
        <span>{axisText(to)}</span></div>
    </>
  );
}

export function LayerNorms() {
  const shown = shownRuns();
  const [wanted, setWanted] = useState<number | null>(null);
  const [layers, setLayers] = useState<Layers | null>(null);
  const run = shown.find((one) => one.id === wanted) ?? shown[0];
  const key = run && [run.id, axis.value, logX.value, range.value?.join(), Math.floor((logs.value[run.id]?.step ?? 0) / 10), logs.value[run.id]?.known].join('|');
  useEffect(() => {
    let current = true;
    if (run) get<Layers>(`v1/aviary/runs/${run.id}/layers?${query(range.value, columnsAcross)}`).then((one) => { if (current) setLayers(one); }, () => {});
    return () => { current = false; };
  }, [key]);
  if (!run || !layers || (layers.rows === 0 && shown.length < 2)) return null;
  const {low, high} = scaleOf(layers.norms);
  return (
    <figure class="chart">
      <figcaption><span>Gradient norm by layer {shown.length > 1 && <select aria-label="Run of the norms by layer" value={run.id} onChange={(event) => setWanted(Number(event.currentTarget.value))}>
        {shown.map((one) => <option key={one.id} value={one.id}>{visible(one.name)}</option>)}</select>}</span>
        {layers.x.length > 0 && <span class="readout figures soft">{significant(low)}<i class="ramp" style={{background: `linear-gradient(to right, ${color('paper')}, ${color('series1')})`}} />{significant(high)}</span>}</figcaption>
      {layers.x.length > 0 ? <Picture layers={layers} /> : <p class="soft">There are none {layers.rows ? 'in this part of the log' : 'in the log of this run'}.</p>}
    </figure>
  );
}
