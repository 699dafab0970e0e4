// What the views of the inside have in common: asking, colors, pictures of numbers.
import {useEffect, useRef, useState} from 'preact/hooks';
import {signal} from '@preact/signals';
import {currentModel, messageOf, post, wasStopped} from '../lib/api';
import {channels, repaint} from '../lib/theme';
import {tokenLabel} from '../lib/text';

export interface Head { layer: number; head: number; side: number; count: number }

// The text that all views look at.
export const sample = signal('Elizabeth was much too embarrassed to say a word. After a short pause, her companion added, "You are too generous to trifle with me. '
  + 'If your feelings are still what they were last April, tell me so at once."');

// Asks for one thing at a time: a new question ends the old one.
export function useAnswer<T>(path: string) {
  const [answer, setAnswer] = useState<T | null>(null);
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const ask = async (body: Record<string, unknown>) => {
    running.current?.abort();
    const stop = running.current = new AbortController();
    setBusy(true);
    try {
      const found = await post<T>(path, {model: currentModel()?.name, ...body}, stop.signal);
      setAnswer(found);
      setProblem('');
    } catch (error) { if (!wasStopped(error)) setProblem(messageOf(error)); }
    if (running.current === stop) setBusy(false);
  };
  return {answer, problem, busy, ask};
}

// A picture of numbers, one pixel each, stretched; `signed`: around 0 in two colors, else from `low` on.
export function Heat(props: {
  numbers: (number | null)[], columns: number, signed?: boolean, top?: number, label: string, mark?: number,
  describe: (column: number, row: number, value: number | null) => string, pick?: (column: number, row: number) => void, height: number,
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [at, setAt] = useState<[number, number] | null>(null);
  const rows = Math.ceil(props.numbers.length / props.columns);
  useEffect(() => {
    const one = canvas.current!, pen = one.getContext('2d')!;
    one.width = props.columns;
    one.height = Math.max(rows, 1);
    const image = pen.createImageData(one.width, one.height);
    const ground = channels('paper'), high = channels('series1'), low = channels('series2');
    const top = props.top ?? Math.max(1e-12, ...props.numbers.map((x) => Math.abs(x ?? 0)));
    props.numbers.forEach((x, i) => {
      const share = Math.min(1, Math.abs(x ?? 0) / top) ** 0.6, to = (x ?? 0) < 0 && props.signed ? low : high;
      for (let c = 0; c < 3; ++c) image.data[4 * i + c] = ground[c]! + share * (to[c]! - ground[c]!);
      image.data[4 * i + 3] = 255;
    });
    pen.putImageData(image, 0, 0);
  }, [props.numbers, props.columns, props.top, repaint.value]);
  const value = at ? props.numbers[at[1] * props.columns + at[0]] ?? null : null;
  const move = (column: number, row: number) => {
    const next: [number, number] = [Math.max(0, Math.min(props.columns - 1, column)), Math.max(0, Math.min(rows - 1, row))];
    setAt(next);
    return next;
  };
  const place = (event: MouseEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    return move(Math.floor((event.clientX - box.left) / box.width * props.columns), Math.floor((event.clientY - box.top) / box.height * rows));
  };
  return (
    <div class="heat">
      <div class="heat-box" style={{height: props.height + 'px'}} tabIndex={0} role="img" aria-label={props.label + ' Arrows move over its numbers.'}
        onKeyDown={(event) => {
          const steps: Record<string, [number, number]> = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
          const step = steps[event.key];
          if (step) { event.preventDefault(); const [c, r] = move((at?.[0] ?? 0) + step[0], (at?.[1] ?? 0) + step[1]); props.pick?.(c, r); }
          if (event.key === 'Enter' && at) props.pick?.(at[0], at[1]);
        }}>
        <canvas ref={canvas} aria-hidden="true" onMouseMove={place} onMouseLeave={() => setAt(null)} onClick={(event) => { const [c, r] = place(event); props.pick?.(c, r); }} />
        {props.mark !== undefined && <i class="mark" style={{left: 100 * (props.mark + 0.5) / props.columns + '%'}} />}
        {at && <i class="cross" style={{left: 100 * (at[0] + 0.5) / props.columns + '%', top: 100 * (at[1] + 0.5) / rows + '%'}} />}
      </div>
      <p class="soft figures told" aria-live="polite">{at ? props.describe(at[0], at[1], value) : '\u00a0'}</p>
    </div>
  );
}

export function SampleText(props: {ask: () => void, busy: boolean, action: string, rows?: number}) {
  return (
    <form class="sample" onSubmit={(event) => { event.preventDefault(); props.ask(); }}>
      <textarea aria-label="Text to look at" rows={props.rows ?? 3} value={sample.value} onInput={(event) => { sample.value = event.currentTarget.value; }}
        onKeyDown={(event) => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); props.ask(); } }} />
      <button type="submit" class="main" disabled={props.busy || !sample.value}>{props.busy ? 'Reading…' : props.action}</button>
    </form>
  );
}

// A text in tokens with a color each; one token is chosen by click or arrows.
export function Tokens(props: {tokens: string[], shade: (i: number) => number, hue?: (i: number) => string, at: number | null, choose: (i: number) => void, hint: (i: number) => string, lead?: string | null}) {
  const box = useRef<HTMLDivElement>(null);
  const go = (event: KeyboardEvent) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!step) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(props.tokens.length - 1, (props.at ?? -1) + step));
    props.choose(next);
    (box.current!.children[next] as HTMLElement).focus();
  };
  return (
    <div class="flowing">{props.lead && <span class="lead-token" title="nothing predicts the first token">{tokenLabel(props.lead).replace(/␣/g, ' ')}</span>}
    <div class="inline" ref={box} role="listbox" aria-label="Tokens" aria-orientation="horizontal" onKeyDown={go}>
      {props.tokens.map((text, i) => (
        <span key={i} role="option" aria-selected={props.at === i} tabIndex={(props.at ?? 0) === i ? 0 : -1} title={props.hint(i)} aria-label={tokenLabel(text) + ', ' + props.hint(i)}
          class={props.at === i ? 'on' : ''} style={{'--share': (100 * Math.max(0, Math.min(1, props.shade(i)))).toFixed(0) + '%', '--hue': `var(--${props.hue?.(i) ?? 'series2'})`} as any}
          onClick={() => props.choose(i)}>{tokenLabel(text).replace(/␣/g, ' ')}{text.includes('\n') ? <br /> : ''}</span>))}
    </div></div>
  );
}
