// The norms of the gradient by layer as a picture: layers upward, the axis of the charts to the right, moved and stretched with them.
import {useEffect, useMemo, useRef, useState} from 'preact/hooks';
import {effect} from '@preact/signals';
import {get} from '../lib/api';
import {color, channels, repaint} from '../lib/theme';
import {count, significant, visible} from '../lib/text';
import {axis, axisText, extent, logX, logs, query, range, shownRuns} from './data';

interface Layers { rows: number; step: number[]; x: number[]; norms: (number | null)[] }

const columnsAcross = 160, pictureWidth = 3600, gutter = 46, most = 260;  // pixels
const rowName = (row: number, rows: number) => (row === 0 ? 'embedding' : row === rows - 1 ? 'head' : 'block ' + (row - 1));
const rowHeight = (rows: number) => Math.max(5, Math.min(18, Math.floor(most / rows)));

// The share of a number between a low and a high one, by their logarithms. The first steps are far above all others, so a twentieth of the
// numbers may lie beyond each end.
function scaleOf(norms: (number | null)[]) {
  const sorted = norms.filter((x): x is number => x !== null && x > 0).sort((a, b) => a - b);
  const low = sorted[Math.floor(0.05 * sorted.length)] ?? NaN, high = sorted[Math.ceil(0.95 * sorted.length) - 1] ?? NaN;
  const width = Math.log(high / low) || 1;
  return {low, high, share: (x: number | null) => (x === null || x <= 0 ? 0 : 0.06 + 0.94 * Math.max(0, Math.min(1, Math.log(x / low) / width)))};
}

// One pixel for each number; the last row is the uppermost.
function pixelsOf(layers: Layers): HTMLCanvasElement {
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

// Columns meet halfway; one alone stands for all.
function edgesOf(x: number[]): number[] {
  const [from, to] = extent();
  const inner = x.slice(1).map((right, i) => (x[i]! + right) / 2);
  return x.length < 2 ? [from, to] : [Math.max(from, 2 * x[0]! - inner[0]!), ...inner, Math.min(to, 2 * x.at(-1)! - inner.at(-1)!)];
}

const scaled = (x: number) => (logX.value ? Math.log(Math.max(x, 1e-3)) : x);
// From a place on the axis to a share of the width, and back.
const shareOf = (x: number) => { const [from, to] = range.value ?? extent(); return (scaled(x) - scaled(from)) / (scaled(to) - scaled(from) || 1); };
const placeOf = (share: number) => {
  const [from, to] = range.value ?? extent(), place = scaled(from) + share * (scaled(to) - scaled(from));
  return logX.value ? Math.exp(place) : place;
};

// The columns where they lie on the axis, once: while the axis moves, this is drawn in one piece.
function pictureOf(layers: Layers): {image: HTMLCanvasElement, from: number, to: number} {
  const image = document.createElement('canvas'), pixels = pixelsOf(layers), edges = edgesOf(layers.x);
  const from = edges[0]!, to = edges.at(-1)!, width = scaled(to) - scaled(from) || 1;
  image.width = pictureWidth;
  image.height = pixels.height;
  const pen = image.getContext('2d')!;
  pen.imageSmoothingEnabled = false;
  const place = (x: number) => Math.round(pictureWidth * (scaled(x) - scaled(from)) / width);
  for (let i = 0; i < layers.x.length; ++i) {
    const left = place(edges[i]!);
    pen.drawImage(pixels, i, 0, 1, pixels.height, left, 0, Math.max(1, place(edges[i + 1]!) - left), pixels.height);
  }
  return {image, from, to};
}

function draw(canvas: HTMLCanvasElement, rows: number, {image, from, to}: ReturnType<typeof pictureOf>) {
  const pen = canvas.getContext('2d')!, density = devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * density), height = Math.round(rows * rowHeight(rows) * density);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  pen.imageSmoothingEnabled = false;
  pen.clearRect(0, 0, width, height);
  const left = width * shareOf(from);
  pen.drawImage(image, 0, 0, image.width, image.height, left, 0, width * shareOf(to) - left, height);
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

// What moves with the axis.
function Cross(props: {layers: Layers, at: [number, number]}) {
  const {layers: {x, rows}, at} = props;
  return <i class="cross" style={{left: 100 * shareOf(x[at[0]]!) + '%', top: 100 * (rows - 0.5 - at[1]) / rows + '%'}} />;
}
function End(props: {last: boolean}) {
  return <span>{axisText((range.value ?? extent())[props.last ? 1 : 0])}</span>;
}

function Picture(props: {layers: Layers}) {
  const {layers} = props, {rows} = layers, columns = layers.x.length;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [pointed, setAt] = useState<[number, number] | null>(null);
  const at = pointed && pointed[0] < columns && pointed[1] < rows ? pointed : null;
  const {low, high} = useMemo(() => scaleOf(layers.norms), [layers]);
  const shown = logX.value;
  useEffect(() => {
    const picture = pictureOf(layers);
    let waiting = false;
    const paint = () => { waiting = false; if (canvas.current) draw(canvas.current, rows, picture); };
    const soon = () => { if (!waiting) { waiting = true; requestAnimationFrame(paint); } };
    const watch = new ResizeObserver(soon);
    watch.observe(canvas.current!);
    const end = effect(() => { void range.value; soon(); });
    return () => { end(); watch.disconnect(); };
  }, [layers, shown, repaint.value]);
  const move = (column: number, row: number) => setAt([Math.max(0, Math.min(columns - 1, column)), Math.max(0, Math.min(rows - 1, row))]);
  const point = (event: MouseEvent) => {
    const box = canvas.current!.getBoundingClientRect(), x = placeOf((event.clientX - box.left) / box.width);
    move(edgesOf(layers.x).findLastIndex((edge) => edge <= x), rows - 1 - Math.floor((event.clientY - box.top) / box.height * rows));
  };
  const steps: Record<string, [number, number]> = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
  const value = at && (layers.norms[at[0] * rows + at[1]] ?? null);
  return (
    <>
      <div class="layer-norms"><Names rows={rows} />
        <div class="heat-box" style={{height: rows * rowHeight(rows) + 'px'}} tabIndex={0} role="img"
          aria-label={`Gradient norm by layer, most from ${significant(low)} to ${significant(high)}. Arrows move over its numbers.`}
          onKeyDown={(event) => {
            const step = steps[event.key];
            if (!step) return;
            event.preventDefault();
            move((at?.[0] ?? columns) + step[0], (at?.[1] ?? 0) + step[1]);
          }}>
          <canvas ref={canvas} aria-hidden="true" onMouseMove={point} onMouseLeave={() => setAt(null)} />
          {at && <Cross layers={layers} at={at} />}
        </div></div>
      <div class="layer-ends soft figures"><End last={false} />
        <span aria-live="polite">{at ? `${rowName(at[1], rows)}, step ${count(layers.step[at[0]]!)}: ${value === null ? '–' : significant(value!)}` : '\u00a0'}</span>
        <End last={true} /></div>
    </>
  );
}

export function LayerNorms() {
  const shown = shownRuns();
  const [wanted, setWanted] = useState<number | null>(null);
  const [layers, setLayers] = useState<Layers | null>(null);
  const run = shown.find((one) => one.id === wanted) ?? shown[0];
  const log = run && logs.value[run.id], places = log?.points.x ?? [];
  // With the curves, which are loaded when the axis comes to rest.
  const key = log && [run.id, axis.value, logX.value, Math.floor(log.step / 10), log.known, places[0], places.at(-1)].join('|');
  useEffect(() => {
    let current = true;
    if (run) get<Layers>(`v1/aviary/runs/${run.id}/layers?${query(range.peek(), columnsAcross)}`).then((one) => { if (current) setLayers(one); }, () => {});
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
